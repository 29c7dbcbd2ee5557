/** From the packed record of a run to the points and texts of one query at one layer. */

import { format } from "../common/format.js";
import { unpack } from "../math/packing.js";

const COORDINATE_UNITS = 10000; // as in refinement_explorer.py
const WEIGHT_UNITS = 255;

/**
 * @param {number[]} shape heads, levels and points of a layer
 * @returns {{boxes, overlaps, scores, numLayers: number, points: (layer: number, query: number) => object[]}}
 *   `points` are {head, level, location: [x, y], weight}, one after the other head by head, level by level
 */
export function readRun({ boxes, overlaps, scores, locations, weights }, [heads, levels, perLevel]) {
  const places = unpack(locations);
  const shares = unpack(weights);
  const queries = boxes[0].length;
  const count = heads * levels * perLevel;
  return {
    boxes,
    overlaps,
    scores,
    numLayers: boxes.length - 1,
    points(layer, query) {
      const first = (layer * queries + query) * count;
      return Array.from({ length: count }, (_, index) => ({
        head: Math.floor(index / (levels * perLevel)),
        level: Math.floor(index / perLevel) % levels,
        location: [0, 1].map((axis) => places[2 * (first + index) + axis] / COORDINATE_UNITS),
        weight: shares[first + index] / WEIGHT_UNITS,
      }));
    },
  };
}

export const layerName = (layer) => (layer === 0 ? "start" : `after ${layer}`);

/** What is said about a query at a layer. */
export function describe(run, { name, query, layer }) {
  const overlap = (step) => format(run.overlaps[step][query], 2);
  const moved = layer === 0 ? "" : `, ${overlap(0)} at the start`;
  const sure = layer === 0 ? "" : `, ${format(run.scores[layer - 1][query] * 100, 0)} % sure`;
  const next =
    layer < run.numLayers
      ? `Layer ${layer + 1} looks from here, at the points.`
      : "This is the answer; no layer looks any further.";
  const where = layer === 0 ? "start" : `after layer ${layer}`;
  return `Query ${query}, ${name}, ${where}${sure}: overlap with the object ${overlap(layer)}${moved}. ${next}`;
}
