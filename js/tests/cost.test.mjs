// The cost explorer's mathematics against Python: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { bytesText, countText, timesText, workText } from "../src/cost/units.js";
import { costs, levelShapes, tokensOf } from "../src/math/complexity.js";

const { cases } = JSON.parse(readFileSync(new URL("fixtures/cost.json", import.meta.url)));

test("every line of every bill equals Python's, to the last unit", () => {
  for (const { setting, shapes, bills } of cases) {
    assert.deepEqual(levelShapes(setting.height, setting.width, setting.strides), shapes);
    for (const part of ["encoder", "decoder"]) {
      const ours = costs({ ...setting, part });
      assert.equal(ours.tokens, tokensOf(shapes));
      assert.deepEqual({ dense: ours.dense, deformable: ours.deformable }, bills[part]);
    }
  }
});

test("four levels at 800 x 1066 hold 9.46 GiB", () => {
  const setting = { height: 800, width: 1066, strides: [8, 16, 32, 64], queries: 300, channels: 256, heads: 8, points: 4 };
  assert.equal(bytesText(costs({ ...setting, part: "encoder" }).dense.heldBytes), "9.46 GiB");
});

test("numbers have three digits and a unit", () => {
  assert.equal(bytesText(0), "0 B");
  assert.equal(bytesText(999), "999 B");
  assert.equal(bytesText(1000), "0.977 KiB");
  assert.equal(bytesText(22 * 2 ** 20), "22 MiB");
  assert.equal(workText(4452683776), "4.45 G");
  assert.equal(workText(12), "12");
  assert.equal(countText(17821), "17,821");
  assert.equal(countText(1234567), "1,234,567");
  assert.equal(timesText(37.57), "38");
  assert.equal(timesText(1.234), "1.2");
  assert.equal(timesText(1234.5), "1,235");
});
