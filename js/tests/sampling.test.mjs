// Readings with slopes, and moved kernels, against torch: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readWithSlope, readings, respond, respondEverywhere } from "../src/math/sampling.js";

const fixture = JSON.parse(readFileSync(new URL("fixtures/sampling.json", import.meta.url)));
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
const map = { height: fixture.map.length, width: fixture.map[0].length, data: fixture.map.flat() };

test("readings and slopes equal torch's, between cells, on centers and outside", () => {
  fixture.points.forEach((point, index) => {
    const { cells, reading, slope } = readWithSlope(map, point);
    near(reading, fixture.readings[index]);
    near(slope[0], fixture.slopes[index][0]);
    near(slope[1], fixture.slopes[index][1]);
    near(cells.reduce((sum, { weight }) => sum + weight, 0), 1);
  });
});

test("a kernel with moved points answers as deformable convolution does", () => {
  for (const { points, kernel, response } of fixture.kernels) {
    const everywhere = respondEverywhere(map, points, kernel);
    response.flat().forEach((expected, index) => near(everywhere[index], expected));
    near(respond(map, [2, 1], points, kernel), response[1][2]);
    assert.equal(readings(map, [2, 1], points).length, 9);
  }
});
