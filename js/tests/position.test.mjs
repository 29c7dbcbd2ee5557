// The position explorer's mathematics against torch: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { amountColor, signedColor } from "../src/common/ramp.js";
import { channelOf, encode, nameOf, similarities, slower, vectorOf } from "../src/math/position.js";

const { cases } = JSON.parse(readFileSync(new URL("fixtures/position.json", import.meta.url)));
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);

test("vectors and channels equal torch's", () => {
  for (const { size, features, temperature, cell, vector, last } of cases) {
    const code = encode(size, features, temperature);
    const ours = vectorOf(code, cell);
    assert.equal(ours.length, 2 * features);
    ours.forEach((number, channel) => near(number, vector[channel]));
    channelOf(code, 2 * features - 2).forEach((row, r) => row.forEach((number, c) => near(number, last[r][c])));
    channelOf(code, 1).forEach((row) => row.forEach((number) => assert.equal(number, row[0])));
  }
});

test("similarities equal torch's, and a cell is most like itself", () => {
  for (const { size, features, temperature, cell, similarities: expected } of cases) {
    const ours = similarities(encode(size, features, temperature), cell);
    ours.forEach((row, r) => row.forEach((number, c) => near(number, expected[r][c])));
    near(ours[cell[0]][cell[1]], 1);
    assert.ok(ours.flat().every((number) => number <= 1 + 1e-12));
  }
});

test("channels are named by axis, pair and wave, y first", () => {
  assert.deepEqual(nameOf(0, 4), { axis: "y", pair: 0, wave: "sin" });
  assert.deepEqual(nameOf(3, 4), { axis: "y", pair: 1, wave: "cos" });
  assert.deepEqual(nameOf(6, 4), { axis: "x", pair: 1, wave: "sin" });
  assert.equal(slower(1, 4, 9), 3);
});

test("colors run from end to end, and stay there", () => {
  assert.equal(amountColor(0), "rgb(68,1,84)");
  assert.equal(amountColor(1), "rgb(253,231,37)");
  assert.equal(amountColor(7), amountColor(1));
  assert.equal(signedColor(-1), "rgb(179,88,6)");
  assert.equal(signedColor(0), "rgb(247,247,247)");
  assert.equal(signedColor(2), signedColor(1));
});
