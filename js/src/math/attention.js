/** Softmax over levels and points together, and the weighted sum of what the points read. */

import { bilinearSample } from "./bilinear.js";

/** Softmax of a flat list, shifted by its largest entry so that nothing overflows. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}

/** One head's weights [level][point] from its logits [level][point]; they sum to 1 over both axes. */
export function jointSoftmax(logits) {
  const flat = softmax(logits.flat());
  const numPoints = logits[0].length;
  return logits.map((_, level) => flat.slice(level * numPoints, (level + 1) * numPoints));
}

/**
 * Deformable attention of one query and one head, for one channel of the value.
 *
 * @param {object[]} maps one map {width, height, data} a level
 * @param {number[][][]} locations [level][point] = (x, y), normalized
 * @param {number[][]} weights [level][point]
 */
export function deformableAttention(maps, locations, weights) {
  let total = 0;
  maps.forEach((map, level) => {
    locations[level].forEach((location, point) => {
      total += weights[level][point] * bilinearSample(map, location);
    });
  });
  return total;
}
