/** Where a query looks from, and the points around it. Points are (x, y), shapes are (height, width). */

import { toNormalized } from "./bilinear.js";

/** First token of each level in the flat list of tokens. */
export function levelStarts(spatialShapes) {
  const starts = [];
  let start = 0;
  for (const [height, width] of spatialShapes) {
    starts.push(start);
    start += height * width;
  }
  return starts;
}

/** Which cell of which level a flat token index is. */
export function tokenCell(token, spatialShapes) {
  const starts = levelStarts(spatialShapes);
  let level = 0;
  while (level + 1 < starts.length && token >= starts[level + 1]) level += 1;
  const within = token - starts[level];
  const width = spatialShapes[level][1];
  return { level, row: Math.floor(within / width), column: within % width };
}

/**
 * The reference point of one token on every level.
 *
 * The center of its cell is measured in the valid part of its own level, then in each level's full width.
 *
 * @param {number} token flat index, level by level, row by row
 * @param {number[][]} spatialShapes (height, width) of each level
 * @param {number[][]} validRatios (x, y) of each level
 * @returns {number[][]} (x, y) on each level
 */
export function encoderReferencePoint(token, spatialShapes, validRatios) {
  const { level, row, column } = tokenCell(token, spatialShapes);
  const [height, width] = spatialShapes[level];
  const x = toNormalized(column, width) / validRatios[level][0];
  const y = toNormalized(row, height) / validRatios[level][1];
  return validRatios.map(([ratioX, ratioY]) => [x * ratioX, y * ratioY]);
}

/**
 * How far one unit of offset moves a point of a level, as a fraction of that level's width and height.
 *
 * @param {number[]} reference (x, y), whose offsets count cells, or (cx, cy, w, h), whose offsets count box sizes
 * @param {number[]} shape (height, width) of the level
 * @param {number} numPoints K
 */
export function offsetStep(reference, [height, width], numPoints) {
  if (reference.length === 2) return [1 / width, 1 / height];
  return [(reference[2] * 0.5) / numPoints, (reference[3] * 0.5) / numPoints];
}

/**
 * Reference plus offsets.
 *
 * @param {number[][]} references one (x, y) or (cx, cy, w, h) a level
 * @param {number[][][][]} offsets [head][level][point] = (x, y)
 * @param {number[][]} spatialShapes (height, width) of each level
 * @returns {number[][][][]} locations, indexed as the offsets
 */
export function samplingLocations(references, offsets, spatialShapes) {
  return offsets.map((levels) =>
    levels.map((points, level) => {
      const reference = references[level];
      const [stepX, stepY] = offsetStep(reference, spatialShapes[level], points.length);
      return points.map(([x, y]) => [reference[0] + x * stepX, reference[1] + y * stepY]);
    }),
  );
}

/** The offsets that give these locations, the inverse of `samplingLocations`. */
export function offsetsOf(references, locations, spatialShapes) {
  return locations.map((levels) =>
    levels.map((points, level) => {
      const reference = references[level];
      const [stepX, stepY] = offsetStep(reference, spatialShapes[level], points.length);
      return points.map(([x, y]) => [(x - reference[0]) / stepX, (y - reference[1]) / stepY]);
    }),
  );
}
