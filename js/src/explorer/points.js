/** From a record and the sliders to the points that are drawn, and the arithmetic of one of them. */

import { jointSoftmax } from "../math/attention.js";
import { bendLogits, bendOffset } from "../math/bend.js";
import { isInside, neighbors, readCell, toPixels } from "../math/bilinear.js";
import { samplingLocations } from "../math/reference_points.js";

export const pointKey = ({ head, level, point }) => `${head}.${level}.${point}`;

/** The part of a point's bilinear weight that falls on cells with a value. */
function readableShare(map, x, y) {
  const valid = { width: map.validWidth, height: map.validHeight };
  let share = 0;
  for (const cell of neighbors(x, y)) if (isInside(cell, valid)) share += cell.weight;
  return share;
}

/**
 * Every sampling point of a query.
 *
 * @returns {{head, level, point, offset, location, pixel, weight, share}[]} head by head, level by level; `pixel`
 *   is in cells of the level, `share` the part of the bilinear weight that does not read zeros for sure
 */
export function samplingPoints(scene, record, references, bends) {
  const points = [];
  const offsets = record.offsets.map((levels, head) =>
    levels.map((list) => list.map((offset) => bendOffset(offset, bends[head]))),
  );
  const locations = samplingLocations(references, offsets, scene.spatialShapes);
  locations.forEach((levels, head) => {
    const weights = jointSoftmax(bendLogits(record.logits[head], bends[head]));
    levels.forEach((list, level) => {
      const map = scene.valueMaps[head][level];
      list.forEach((location, point) => {
        const x = toPixels(location[0], map.width);
        const y = toPixels(location[1], map.height);
        points.push({
          head,
          level,
          point,
          location,
          offset: offsets[head][level][point],
          pixel: [x, y],
          weight: weights[level][point],
          share: readableShare(map, x, y),
        });
      });
    });
  });
  return points;
}

/** What a point reads and adds, in full. */
export function arithmetic(scene, sampled) {
  const map = scene.valueMaps[sampled.head][sampled.level];
  const valid = { width: map.validWidth, height: map.validHeight };
  const cells = neighbors(...sampled.pixel).map((cell) => {
    const value = readCell(map, cell);
    const place = isInside(cell, valid) ? "inside" : isInside(cell, map) ? "padding" : "outside";
    return { ...cell, place, value, product: cell.weight * value };
  });
  const sample = cells.reduce((sum, cell) => sum + cell.product, 0);
  return { cells, sample, contribution: sampled.weight * sample };
}

/** The sum over all points of one head: one channel of its output. */
export const headOutput = (scene, points, head) =>
  points
    .filter((sampled) => sampled.head === head)
    .reduce((sum, sampled) => sum + arithmetic(scene, sampled).contribution, 0);

/** The share of the attention weight that reads zeros, over the heads of these points. */
export function lostWeight(points) {
  const total = points.reduce((sum, sampled) => sum + sampled.weight, 0);
  const lost = points.reduce((sum, sampled) => sum + sampled.weight * (1 - sampled.share), 0);
  return total > 0 ? lost / total : 0;
}
