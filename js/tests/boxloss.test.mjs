// The box loss explorer's mathematics against torch and torchvision: tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { boxLosses, isFlat, landscape, step } from "../src/math/box_losses.js";
import { describe } from "../src/boxloss/words.js";

const { cases } = JSON.parse(readFileSync(new URL("fixtures/boxloss.json", import.meta.url)));
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);

test("values and slopes of every loss equal torch's, also where edges meet", () => {
  for (const { box, other, losses } of cases) {
    const ours = boxLosses(box, other);
    assert.deepEqual(Object.keys(ours), Object.keys(losses));
    for (const [name, { value, slopes }] of Object.entries(losses)) {
      near(ours[name].value, value);
      slopes.forEach((slope, index) => near(ours[name].slopes[index], slope));
    }
  }
});

test("slopes are what small steps say", () => {
  for (const { box, other } of cases.slice(0, 12)) {
    const ours = boxLosses(box, other);
    for (const name of Object.keys(ours)) {
      box.forEach((_, index) => {
        const at = (move) => boxLosses(box.map((number, other) => number + (other === index ? move : 0)), other)[name].value;
        assert.ok(Math.abs((at(1e-6) - at(-1e-6)) / 2e-6 - ours[name].slopes[index]) < 1e-4);
      });
    }
  }
});

test("apart, 1 - IoU is flat and the others are not; inside, only L1 moves the center", () => {
  const apart = boxLosses([0.2, 0.2, 0.1, 0.1], [0.7, 0.6, 0.2, 0.3]);
  assert.ok(isFlat(apart.iou.slopes));
  assert.ok(!isFlat(apart.giou.slopes) && !isFlat(apart.l1.slopes));
  const inside = boxLosses([0.52, 0.47, 0.1, 0.1], [0.5, 0.5, 0.4, 0.4]);
  assert.deepEqual(inside.giou.slopes.slice(0, 2).map(Math.abs), [0, 0]);
  assert.deepEqual(inside.l1.slopes.slice(0, 2), [1, -1]);
});

test("equal boxes have no loss and no slope", () => {
  const equal = boxLosses([0.4, 0.5, 0.25, 0.5], [0.4, 0.5, 0.25, 0.5]);
  for (const { value, slopes } of Object.values(equal)) {
    near(value, 0);
    assert.ok(isFlat(slopes));
  }
});

test("a step goes downhill and is never longer than its reach", () => {
  for (const { box, other } of cases.slice(0, 12)) {
    const ours = boxLosses(box, other);
    for (const [name, { value, slopes }] of Object.entries(ours)) {
      const next = step(box, slopes, 1e-4);
      next.forEach((number, index) => assert.ok(Math.abs(number - box[index]) <= 1e-4 + 1e-12));
      const after = boxLosses(next, other)[name].value;
      assert.ok(isFlat(slopes) ? after === value : after < value);
    }
  }
  assert.deepEqual(step([0.2, 0.2, 0.1, 0.1], [0, 0, 0, 0]), [0.2, 0.2, 0.1, 0.1]);
});

test("the map has the loss at every place, and says where it is flat", () => {
  const [box, other] = [[0.1, 0.1, 0.2, 0.1], [0.5, 0.5, 0.3, 0.3]];
  const map = landscape("iou", box, other, 10);
  near(map[4][5].value, boxLosses([0.55, 0.45, 0.2, 0.1], other).iou.value);
  assert.ok(map[0][0].flat);
  assert.ok(!map[3][5].flat);
  assert.ok(landscape("l1", box, other, 10).flat().every(({ flat }) => !flat));
});

test("a loss is told in words", () => {
  const apart = boxLosses([0.2, 0.2, 0.1, 0.1], [0.7, 0.6, 0.2, 0.3]);
  assert.equal(describe(apart, "iou"), "IoU 0.00, GIoU −0.82. 1 − IoU has no slope here: the box stays where it is.");
  assert.match(describe(apart, "l1"), /L1 pulls the prediction right, down, wider, taller\.$/);
  const equal = boxLosses([0.5, 0.5, 0.25, 0.5], [0.5, 0.5, 0.25, 0.5]);
  assert.match(describe(equal, "sum"), /no slope here: the boxes are equal\.$/);
});
