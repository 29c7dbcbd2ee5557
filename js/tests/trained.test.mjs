import assert from "node:assert/strict";
import { test } from "node:test";
import { countInside, describe, isIn, readAttention, smallestAround, tokenAt, tokenBeside } from "../src/trained/records.js";

const packed = (dtype, numbers) => {
  const [size, write] = { uint8: [1, "setUint8"], int16: [2, "setInt16"], float32: [4, "setFloat32"] }[dtype];
  const view = new DataView(new ArrayBuffer(numbers.length * size));
  numbers.forEach((number, index) => view[write](index * size, number, true));
  return { dtype, data: Buffer.from(view.buffer).toString("base64") };
};
const counted = (length, number) => Array.from({ length }, (_, index) => number(index));

// 3 queries, 2 heads, 2 levels, 1 point: every number different
const scene = {
  numHeads: 2,
  numLevels: 2,
  numPoints: 1,
  spatialShapes: [
    [4, 6],
    [2, 3],
  ],
  detections: ["star", "ring"],
};
const attention = {
  name: "decoder 1",
  labels: ["star", "ring"],
  scores: [0.9, 0.456],
  ...readAttention(
    {
      referenceSize: 4,
      references: packed("int16", counted(12, (index) => 500 * index)),
      points: packed("uint8", counted(24, (index) => index)),
      low: packed("float32", counted(8, (index) => -index / 64)),
      step: packed("float32", counted(8, (index) => index / 512)),
      weights: packed("uint8", counted(12, (index) => index + 20)),
    },
    scene,
  ),
};

test("a point knows its head, its level, its place and its weight", () => {
  assert.deepEqual(attention.reference(2), [0.4, 0.45, 0.5, 0.55]);
  const points = attention.points(2);
  assert.deepEqual(points.map(({ head, level }) => [head, level]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
  points.forEach(({ location, weight }, index) => {
    const place = (axis) => {
      const column = 2 * index + axis;
      return [0.4, 0.45][axis] - column / 64 + (2 * 8 + column) * (column / 512);
    };
    assert.deepEqual(location, [place(0), place(1)]);
    assert.equal(weight, (2 * 4 + index + 20) / 255);
  });
});

test("a point reads zeros where it is a cell or more outside of its level", () => {
  const at = (x) =>
    readAttention(
      {
        referenceSize: 2,
        references: packed("int16", [0, 5000]),
        points: packed("uint8", Array(8).fill(0)),
        low: packed("float32", [x, 0, x, 0, x, 0, x, 0]),
        step: packed("float32", Array(8).fill(0)),
        weights: packed("uint8", [1, 2, 3, 4]),
      },
      scene,
    )
      .points(0)
      .map(({ lost }) => lost);
  assert.deepEqual(at(-0.125), [true, false, true, false]); // half a cell is 1/12 of level 0 and 1/6 of level 1
  assert.deepEqual(at(-0.0625), [false, false, false, false]);
  assert.deepEqual(at(1.0625), [false, false, false, false]);
  assert.deepEqual(at(1.25), [true, true, true, true]);
});

test("the token at a place, and those beside it, stay on their level", () => {
  const shapes = scene.spatialShapes;
  assert.equal(tokenAt([0.99, 0.3], 0, shapes), 6 + 5);
  assert.equal(tokenAt([0.5, 0.6], 1, shapes), 24 + 3 + 1);
  assert.equal(tokenAt([-1, 7], 0, shapes), 18);
  assert.equal(tokenBeside(7, [1, -1], shapes), 12);
  assert.equal(tokenBeside(26, [0, 1], shapes), 26); // the last column
  assert.equal(tokenBeside(24, [1, 0], shapes), 27);
});

test("the smallest box around a point is found, and points in a box are counted", () => {
  const boxes = [
    [0.5, 0.5, 0.8, 0.8],
    [0.6, 0.5, 0.3, 0.2],
  ];
  assert.equal(smallestAround(boxes, [0.6, 0.55]), 1);
  assert.equal(smallestAround(boxes, [0.2, 0.2]), 0);
  assert.equal(smallestAround(boxes, [0.05, 0.5]), -1);
  assert.ok(isIn(boxes[1], [0.74, 0.41]) && !isIn(boxes[1], [0.74, 0.39]));
  const points = [
    { location: [0.6, 0.5], weight: 0.6 },
    { location: [0.9, 0.9], weight: 0.2 },
  ];
  assert.equal(countInside(points, boxes[1]).count, 1);
  assert.ok(Math.abs(countInside(points, boxes[1]).share - 0.75) < 1e-12);
  assert.deepEqual(countInside([], boxes[1]), { count: 0, share: 0 });
});

test("the text says what is shown, in which box, and what reads zeros", () => {
  const boxes = [
    [0.5, 0.5, 0.8, 0.8],
    [0.6, 0.5, 0.3, 0.2],
  ];
  const points = [
    { location: [0.6, 0.5], weight: 0.6, lost: false },
    { location: [1.9, 0.9], weight: 0.2, lost: true },
  ];
  const text = (name, query, box) => describe({ attention: { ...attention, name }, query, points, boxes, box, scene });
  assert.equal(
    text("decoder 1", 1, 1),
    "Decoder layer 1, detection 1: ring, 46 % sure after this layer. 1 of 2 points shown, with 75 % of their weight, " +
      "lie in the box that the layer predicts. 1 reads zeros only, outside of the picture.",
  );
  assert.match(text("encoder 0", 25, 1), /^Encoder layer 0, token of row 0, column 1 of level 1, in the box of detection 1 \(ring\): 1 of 2/);
  assert.match(text("encoder 0", 25, -1), /in no detection’s box: 2 points shown\./);
});
