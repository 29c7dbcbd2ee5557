import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, layerName, readRun } from "../src/refinement/records.js";

const packed = (dtype, numbers, size, write) => {
  const view = new DataView(new ArrayBuffer(numbers.length * size));
  numbers.forEach((number, index) => view[write](index * size, number, true));
  return { dtype, data: Buffer.from(view.buffer).toString("base64") };
};

// 2 layers, 3 queries, 2 heads, 3 levels, 1 point: every number different
const count = 2 * 3 * 2 * 3;
const run = readRun(
  {
    boxes: Array.from({ length: 3 }, () => Array.from({ length: 3 }, () => [0.5, 0.5, 0.1, 0.1])),
    overlaps: [[0.5, 0.6, 0.7], [0.55, 0.65, 0.75], [0.58, 0.68, 0.78]],
    scores: [[0.9, 0.8, 0.7], [0.95, 0.85, 0.75]],
    locations: packed("int16", Array.from({ length: 2 * count }, (_, index) => 10 * index - 100), 2, "setInt16"),
    weights: packed("uint8", Array.from({ length: count }, (_, index) => index), 1, "setUint8"),
  },
  [2, 3, 1],
);

test("a point knows its head, its level, its place and its weight", () => {
  const points = run.points(1, 2);
  assert.equal(points.length, 6);
  points.forEach(({ head, level, location, weight }, index) => {
    const place = (1 * 3 + 2) * 6 + index;
    assert.deepEqual([head, level], [Math.floor(index / 3), index % 3]);
    assert.deepEqual(location, [(20 * place - 100) / 10000, (20 * place - 90) / 10000]);
    assert.equal(weight, place / 255);
  });
});

test("the text says how sure the last layer was and who looks next", () => {
  const at = (layer) => describe(run, { name: "star", query: 1, layer });
  assert.equal(at(0), "Query 1, star, start: overlap with the object 0.60. Layer 1 looks from here, at the points.");
  assert.match(at(1), /after layer 1, 80 % sure: overlap with the object 0.65, 0.60 at the start. Layer 2 looks/);
  assert.match(at(2), /85 % sure: .* This is the answer; no layer looks any further.$/);
  assert.deepEqual([0, 1, 2].map(layerName), ["start", "after 1", "after 2"]);
});
