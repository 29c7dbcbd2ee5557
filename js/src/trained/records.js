/** From the packed records of a trained detector to the points, boxes and words of one query in one attention. */

import { format } from "../common/format.js";
import { unpack } from "../math/packing.js";
import { levelStarts, tokenCell } from "../math/reference_points.js";

const COORDINATE_UNITS = 10000; // as in trained_points_explorer.py
const WEIGHT_UNITS = 255;

/** Whether a point (x, y) lies in a box [cx, cy, w, h]. */
export const isIn = ([cx, cy, w, h], [x, y]) => Math.abs(x - cx) <= w / 2 && Math.abs(y - cy) <= h / 2;

/**
 * One attention.
 *
 * @returns {{reference: (query: number) => number[], points: (query: number) => object[]}} `points` are
 *   {index, head, level, location: [x, y], weight, lost}, head by head, level by level; `lost` reads zeros only
 */
export function readAttention({ references, points, low, step, weights, referenceSize }, scene) {
  const [around, codes, lows, steps, shares] = [references, points, low, step, weights].map(unpack);
  const { numHeads, numLevels, numPoints, spatialShapes } = scene;
  const count = numHeads * numLevels * numPoints;
  const reference = (query) =>
    Array.from({ length: referenceSize }, (_, axis) => around[query * referenceSize + axis] / COORDINATE_UNITS);
  return {
    reference,
    points(query) {
      const center = reference(query);
      return Array.from({ length: count }, (_, index) => {
        const level = Math.floor(index / numPoints) % numLevels;
        const [height, width] = spatialShapes[level];
        const location = [0, 1].map((axis) => {
          const column = 2 * index + axis;
          return center[axis] + lows[column] + codes[2 * count * query + column] * steps[column];
        });
        const [x, y] = [location[0] * width - 0.5, location[1] * height - 0.5];
        return {
          index,
          head: Math.floor(index / (numLevels * numPoints)),
          level,
          location,
          weight: shares[query * count + index] / WEIGHT_UNITS,
          lost: x <= -1 || y <= -1 || x >= width || y >= height,
        };
      });
    },
  };
}

/** The token of a level whose cell holds a point (x, y), or the nearest one. */
export function tokenAt([x, y], level, spatialShapes) {
  const [height, width] = spatialShapes[level];
  const clamp = (value, size) => Math.min(Math.max(Math.floor(value * size), 0), size - 1);
  return levelStarts(spatialShapes)[level] + clamp(y, height) * width + clamp(x, width);
}

/** The token so many rows and columns further on the grid of its level. */
export function tokenBeside(token, [rows, columns], spatialShapes) {
  const { level, row, column } = tokenCell(token, spatialShapes);
  const [height, width] = spatialShapes[level];
  return tokenAt([(column + columns + 0.5) / width, (row + rows + 0.5) / height], level, spatialShapes);
}

/** The smallest of the boxes that a point lies in, as an index, or -1. */
export function smallestAround(boxes, point) {
  const area = ([, , w, h]) => w * h;
  return boxes.reduce(
    (best, box, index) => (isIn(box, point) && (best < 0 || area(box) < area(boxes[best])) ? index : best),
    -1,
  );
}

/** How many points, and which share of their weight, lie in a box. */
export function countInside(points, box) {
  const inside = points.filter(({ location }) => isIn(box, location));
  const sum = (list) => list.reduce((total, { weight }) => total + weight, 0);
  return { count: inside.length, share: sum(inside) / Math.max(sum(points), 1e-9) };
}

const sure = (score) => `${format(score * 100, 0)} %`;

/** What is said about the shown points; `box` is the index of the box that matters, or -1. */
export function describe({ attention, query, points, boxes, box, scene }) {
  const [stack, layer] = attention.name.split(" ");
  const lost = points.filter((point) => point.lost).length;
  const zeros = lost ? ` ${lost} ${lost === 1 ? "reads" : "read"} zeros only, outside of the picture.` : "";
  if (stack === "encoder") {
    const { level, row, column } = tokenCell(query, scene.spatialShapes);
    const where = `Encoder layer ${layer}, token of row ${row}, column ${column} of level ${level}`;
    if (box < 0) return `${where}, in no detection’s box: ${points.length} points shown.${zeros}`;
    const { count, share } = countInside(points, boxes[box]);
    return (
      `${where}, in the box of detection ${box} (${scene.detections[box]}): ${count} of ${points.length} points ` +
      `shown, with ${sure(share)} of their weight, lie in it.${zeros}`
    );
  }
  const { count, share } = countInside(points, boxes[box]);
  return (
    `Decoder layer ${layer}, detection ${query}: ${attention.labels[query]}, ${sure(attention.scores[query])} sure ` +
    `after this layer. ${count} of ${points.length} points shown, with ${sure(share)} of their weight, lie in the ` +
    `box that the layer predicts.${zeros}`
  );
}
