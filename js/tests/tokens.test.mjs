// The token explorer's mathematics against the package: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { validCells } from "../src/math/padding.js";
import {
  addressOf,
  countTokens,
  levelStarts,
  patchOf,
  samePlace,
  tokenAt,
  tokenOfPoint,
} from "../src/math/tokens.js";

const { cases } = JSON.parse(readFileSync(new URL("fixtures/tokens.json", import.meta.url)));

test("level, row and column of every token are those of flattened maps, and lead back to it", () => {
  for (const { shapes, addresses } of cases) {
    assert.equal(countTokens(shapes), addresses.length);
    addresses.forEach(([level, row, column], token) => {
      assert.deepEqual(addressOf(token, shapes), { level, row, column, start: levelStarts(shapes)[level] });
      assert.equal(tokenAt(level, row, column, shapes), token);
    });
  }
});

test("the middle of a patch is the token's reference point, and lies in the patch of no other token", () => {
  for (const { shapes, canvas, addresses, middles } of cases) {
    addresses.forEach(([level], token) => {
      const [x1, y1, x2, y2] = patchOf(token, shapes, canvas);
      assert.ok(Math.abs((x1 + x2) / 2 / canvas[1] - middles[token][0]) < 1e-9);
      assert.ok(Math.abs((y1 + y2) / 2 / canvas[0] - middles[token][1]) < 1e-9);
      assert.equal(tokenOfPoint(level, (x1 + x2) / 2, (y1 + y2) / 2, shapes, canvas), token);
      assert.equal(samePlace(token, level, shapes), token);
    });
  }
});

test("padding is where the flattened mask says so", () => {
  for (const { shapes, canvas, size, addresses, padding } of cases) {
    const valid = shapes.map((shape) => shape.map((cells, axis) => validCells(size[axis], canvas[axis], cells)));
    addresses.forEach(([level, row, column], token) => {
      assert.equal(Number(row >= valid[level][0] || column >= valid[level][1]), padding[token]);
    });
  }
});

test("places outside a map belong to its border", () => {
  const shapes = [[4, 6], [2, 3]];
  assert.equal(tokenAt(0, -1, 9, shapes), 5);
  assert.equal(tokenAt(1, 7, -3, shapes), 27);
  assert.equal(tokenOfPoint(0, 47, 30, shapes, [30, 47]), 23);
});

test("the same place on another level", () => {
  const shapes = [[4, 6], [2, 3]];
  assert.equal(samePlace(9, 1, shapes), 25); // row 1, column 3 of 4 x 6 lies in row 0, column 1 of 2 x 3
  assert.equal(samePlace(29, 0, shapes), 23); // on the corner of four fine cells: the lower right one
});
