/** Colors, marker shapes and numbers, the same everywhere in the book. */

import { symbol, symbolCircle, symbolCross, symbolDiamond, symbolSquare, symbolStar, symbolTriangle } from "d3-shape";

/** Okabe-Ito, finest level first. */
export const LEVEL_COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];
export const levelColor = (level) => LEVEL_COLORS[level % LEVEL_COLORS.length];

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
          closePath: () => context.closePath(),
        },
        size,
      );
    },
  };
}

const SHAPES = [
  ["circle", symbolCircle],
  ["square", symbolSquare],
  ["diamond", symbolDiamond],
  ["triangle", symbolTriangle],
  ["star", symbolStar],
  ["plus", symbolCross],
  ["triangle pointing down", turned(symbolTriangle, 180)],
  ["cross", turned(symbolCross, 45)],
];

/** Paths of area 1, to be scaled by the square root of the area wanted. */
const PATHS = SHAPES.map(([, type]) => symbol(type, 1).digits(4)());

export const headPath = (head) => PATHS[head % PATHS.length];
export const headShape = (head) => SHAPES[head % SHAPES.length][0];

/** A number with a fixed count of digits and a real minus sign. */
export const format = (number, digits = 4) => {
  const text = number.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
};

export const percent = (share) => `${format(share * 100, 1)} %`;
