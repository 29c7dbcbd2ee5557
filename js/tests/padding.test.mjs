// The padding explorer's mathematics against torch: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { canvasSize, mapSize, maskOnMap, paddingShare, pixelOfCell, validCells } from "../src/math/padding.js";

const { cases } = JSON.parse(readFileSync(new URL("fixtures/padding.json", import.meta.url)));
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);

test("the canvas has the largest height and the largest width", () => {
  for (const { sizes, canvas } of cases) assert.deepEqual(canvasSize(sizes), canvas);
  assert.deepEqual(canvasSize([[2, 9], [5, 3]]), [5, 9]);
});

test("maps, valid cells and ratios equal torch's for every stride", () => {
  for (const { sizes, maps } of cases) {
    for (const { stride, cells, valid, ratios } of maps) {
      const ours = maskOnMap(sizes, stride);
      assert.deepEqual(ours.cells, cells, `sizes ${sizes}, stride ${stride}`);
      ours.pictures.forEach((picture, index) => {
        assert.deepEqual(picture.valid, valid[index], `sizes ${sizes}, stride ${stride}, picture ${index}`);
        picture.ratios.forEach((ratio, axis) => near(ratio, ratios[index][axis]));
      });
    }
  }
});

test("the share of padding equals the mean of torch's mask", () => {
  for (const { sizes, share } of cases) near(paddingShare(sizes), share);
});

test("each halving of the map rounds up", () => {
  assert.deepEqual(mapSize([765, 911], 32), [24, 29]);
  assert.deepEqual(mapSize([264, 328], 64), [5, 6]);
});

test("one cell always stays, and the first reads the first pixel", () => {
  for (let side = 1; side < 400; side += 7) {
    const [cells] = mapSize([side, side], 64);
    assert.equal(pixelOfCell(0, side, cells), 0);
    assert.ok(validCells(1, side, cells) >= 1);
    assert.equal(validCells(side, side, cells), cells);
  }
});
