// The explorer's own computations, on a scene small enough to check by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { STRAIGHT } from "../src/math/bend.js";
import { format } from "../src/common/format.js";
import { headPath } from "../src/common/marks.js";
import { shadePaths } from "../src/explorer/levels.js";
import { arithmetic, headOutput, lostWeight, samplingPoints } from "../src/explorer/points.js";
import { Scene, nest } from "../src/explorer/scene.js";

const pack = (dtype, TypedArray, numbers) => ({
  dtype,
  data: Buffer.from(new TypedArray(numbers).buffer).toString("base64"),
});

// one head, one level of 2 x 3 cells of which 2 x 2 are valid, two points
const scene = new Scene({
  spatialShapes: [[2, 3]],
  validSizes: [[2, 2]],
  validRatios: [[2 / 3, 1]],
  queryLevel: 0,
  numHeads: 1,
  numPoints: 2,
  channel: 0,
  values: pack("int16", Int16Array, [10, 20, 30, 40]),
  valueScale: [0.1],
  strength: pack("uint8", Uint8Array, [0, 85, 170, 255]),
  records: {
    rows: 4,
    columns: 6,
    rank: 1,
    mean: pack("float32", Float32Array, [0, 0, 0.5, 0, 0, 0]),
    left: pack("int16", Int16Array, [0, 1, 2, 3]),
    right: pack("int16", Int16Array, [0, 0, 1, 0, 0, 0]),
    scale: [1],
  },
});

const pointsOf = (query, bend = STRAIGHT) =>
  samplingPoints(scene, scene.record(query, null), scene.references(query), [bend]);

test("values are put into the padded map with zeros in the padding", () => {
  assert.deepEqual([...scene.valueMaps[0][0].data].map((value) => Number(value.toFixed(6))), [1, 2, 0, 3, 4, 0]);
});

test("the record of a query is mean plus product", () => {
  assert.deepEqual(scene.record(4, null).offsets, [[[[0, 0], [3.5, 0]]]]);
});

test("a query in the padding has no record on the page, but one from Python is taken", () => {
  assert.equal(scene.gridCell(2), null);
  assert.equal(scene.record(2, null), null);
  const fromPython = {
    query: 2,
    locations: pack("float32", Float32Array, [0.5, 0.5, 0.5, 0.25]),
    weights: pack("float32", Float32Array, [0.25, 0.75]),
  };
  assert.equal(scene.record(1, { ...fromPython }).offsets.length, 1);
  const record = scene.record(2, fromPython);
  const points = samplingPoints(scene, record, scene.references(2), [STRAIGHT]);
  assert.deepEqual(points.map((point) => Number(point.weight.toFixed(6))), [0.25, 0.75]);
  assert.ok(Math.abs(points[1].location[1] - 0.25) < 1e-6);
});

test("the nearest query stays on the valid grid", () => {
  assert.equal(scene.nearestQuery(-5, 9), 1);
  assert.equal(scene.nearestQuery(0.6, 0.4), 3);
});

test("a point half way between two cells reads their mean, and adds half of it", () => {
  const [, between] = pointsOf(0); // offset 0.5 cells to the right of the first cell
  const { cells, sample, contribution } = arithmetic(scene, between);
  assert.ok(Math.abs(sample - 1.5) < 1e-6);
  assert.ok(Math.abs(contribution - 0.75) < 1e-6);
  assert.deepEqual(cells.map((cell) => cell.place), ["inside", "inside", "inside", "inside"]);
});

test("what lies in the padding and outside is told apart and counts as lost", () => {
  const [, beyond] = pointsOf(4); // column 1 + 3.5
  assert.deepEqual(new Set(arithmetic(scene, beyond).cells.map((cell) => cell.place)), new Set(["outside"]));
  const [, padded] = pointsOf(1); // column 1 + 1.5: between the padding and outside
  assert.deepEqual(arithmetic(scene, padded).cells.map((cell) => cell.place).slice(0, 2), ["padding", "outside"]);
  assert.equal(lostWeight(pointsOf(4)), 0.5);
});

test("the points of a head add up to its output", () => {
  assert.ok(Math.abs(headOutput(scene, pointsOf(0), 0) - (0.5 * 1 + 0.5 * 1.5)) < 1e-6);
});

test("scaling by zero brings all points to the reference", () => {
  const points = pointsOf(4, { ...STRAIGHT, scale: 0 });
  assert.deepEqual(points[0].pixel, points[1].pixel);
});

test("every valid cell is shaded once", () => {
  const paths = shadePaths(scene.strengthMaps[0][0], 1);
  assert.equal(paths.join("").split("M").length - 1, 4);
  assert.ok(paths[7].includes("M1 1"));
});

test("nested lists keep the order", () => {
  assert.deepEqual(nest([0, 1, 2, 3, 4, 5], [2, 3]), [[0, 1, 2], [3, 4, 5]]);
});

test("numbers have a real minus sign and no negative zero", () => {
  assert.equal(format(-0.00001), "0.0000");
  assert.equal(format(-1.5, 1), "−1.5");
});

test("eight heads have eight shapes", () => {
  assert.equal(new Set(Array.from({ length: 8 }, (_, head) => headPath(head))).size, 8);
});
