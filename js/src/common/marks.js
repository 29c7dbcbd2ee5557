/** Marker shapes, the same everywhere in the book. */

import { symbol, symbolCircle, symbolCross, symbolSquare, symbolTriangle } from "d3-shape";

/** A symbol of d3 turned by some degrees. */
function turned(type, degrees) {
  const cosine = Math.cos((degrees * Math.PI) / 180);
  const sine = Math.sin((degrees * Math.PI) / 180);
  const turn = (x, y) => [x * cosine - y * sine, x * sine + y * cosine];
  return {
    draw(context, size) {
      type.draw(
        {
          moveTo: (x, y) => context.moveTo(...turn(x, y)),
          lineTo: (x, y) => context.lineTo(...turn(x, y)),
          rect: (x, y, width, height) => {
            context.moveTo(...turn(x, y));
            context.lineTo(...turn(x + width, y));
            context.lineTo(...turn(x + width, y + height));
            context.lineTo(...turn(x, y + height));
            context.closePath();
          },
          closePath: () => context.closePath(),
        },
        size,
      );
    },
  };
}

const pentagon = {
  draw(context, size) {
    const radius = Math.sqrt(size / (2.5 * Math.sin((2 * Math.PI) / 5)));
    for (let corner = 0; corner < 5; corner += 1) {
      const angle = ((2 * corner) / 5 - 0.5) * Math.PI;
      context[corner ? "lineTo" : "moveTo"](radius * Math.cos(angle), radius * Math.sin(angle));
    }
    context.closePath();
  },
};

/** In the order of HEAD_MARKERS in detr_tutorial/plots/_style.py. */
const SHAPES = [
  ["circle", symbolCircle],
  ["square", symbolSquare],
  ["triangle", symbolTriangle],
  ["diamond", turned(symbolSquare, 45)],
  ["triangle pointing down", turned(symbolTriangle, 180)],
  ["plus", symbolCross],
  ["cross", turned(symbolCross, 45)],
  ["pentagon", pentagon],
];

/** Paths of area 1, to be scaled by the square root of the area wanted. */
const PATHS = SHAPES.map(([, type]) => symbol(type, 1).digits(4)());

export const headPath = (head) => PATHS[head % PATHS.length];
export const headShape = (head) => SHAPES[head % SHAPES.length][0];
