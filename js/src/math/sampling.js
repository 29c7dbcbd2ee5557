/** A reading with its slope, and a kernel whose nine points stand anywhere. Points are (x, y), in cells. */

import { neighbors, readCell } from "./bilinear.js";

/**
 * What a point reads, from which cells, and how the reading changes with the point.
 *
 * @param {{width: number, height: number, data: number[]}} map
 * @returns {{cells: object[], reading: number, slope: [number, number]}} the four cells with weight and value, in
 *   reading order; on a center, where the slope jumps, the one to the right and below, as in `grid_sample`
 */
export function readWithSlope(map, [x, y]) {
  const cells = neighbors(x, y).map((cell) => ({ ...cell, value: readCell(map, cell) }));
  const [upperLeft, upperRight, lowerLeft, lowerRight] = cells.map(({ value }) => value);
  const right = x - Math.floor(x);
  const below = y - Math.floor(y);
  return {
    cells,
    reading: cells.reduce((sum, { weight, value }) => sum + weight * value, 0),
    slope: [
      (1 - below) * (upperRight - upperLeft) + below * (lowerRight - lowerLeft),
      (1 - right) * (lowerLeft - upperLeft) + right * (lowerRight - upperRight),
    ],
  };
}

/** The reading alone, without making objects. */
function read({ width, height, data }, x, y) {
  const column = Math.floor(x);
  const row = Math.floor(y);
  const right = x - column;
  const below = y - row;
  let total = 0;
  for (let down = 0; down < 2; down += 1) {
    const line = row + down;
    if (line < 0 || line >= height) continue;
    const share = down ? below : 1 - below;
    if (column >= 0 && column < width) total += share * (1 - right) * data[line * width + column];
    if (column + 1 >= 0 && column + 1 < width) total += share * right * data[line * width + column + 1];
  }
  return total;
}

/** What each point of a kernel reads around a place; `points` are its places relative to (x, y). */
export const readings = (map, [x, y], points) => points.map(([dx, dy]) => read(map, x + dx, y + dy));

/** The weighted sum of the readings. */
export const respond = (map, place, points, kernel) =>
  readings(map, place, points).reduce((sum, reading, index) => sum + kernel[index] * reading, 0);

/** The response at every cell, row by row, with the same points everywhere. */
export function respondEverywhere(map, points, kernel) {
  const { width, height } = map;
  const output = new Float64Array(width * height);
  points.forEach(([dx, dy], index) => {
    if (kernel[index] === 0) return;
    for (let row = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1) {
        output[row * width + column] += kernel[index] * read(map, column + dx, row + dy);
      }
    }
  });
  return output;
}
