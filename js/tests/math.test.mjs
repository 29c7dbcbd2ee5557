// The widgets' mathematics against torch: fixtures come from tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { deformableAttention, jointSoftmax, softmax } from "../src/math/attention.js";
import { STRAIGHT, bendLogits, bendOffset, isStraight } from "../src/math/bend.js";
import { bilinearSample, neighbors, toNormalized, toPixels } from "../src/math/bilinear.js";
import { unpack, unpackTable } from "../src/math/packing.js";
import {
  encoderReferencePoint,
  levelStarts,
  offsetsOf,
  samplingLocations,
  tokenCell,
} from "../src/math/reference_points.js";

const fixture = (name) => JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url)));
const bilinear = fixture("bilinear");
const attention = fixture("attention");
const packing = fixture("packing");

function assertClose(actual, expected, tolerance = 1e-9) {
  const [left, right] = [Array.from(actual).flat(Infinity), Array.from(expected).flat(Infinity)];
  assert.equal(left.length, right.length);
  left.forEach((value, index) => assert.ok(Math.abs(value - right[index]) <= tolerance, `${value} is not ${right[index]}`));
}

/** The maps [level] of one head, from values [token][head]. */
function headMaps(head) {
  const starts = levelStarts(attention.spatialShapes);
  return attention.spatialShapes.map(([height, width], level) => ({
    width,
    height,
    data: attention.value.slice(starts[level], starts[level] + height * width).map((heads) => heads[head]),
  }));
}

test("bilinear sampling equals grid_sample, also at and beyond the edges", () => {
  const map = { height: bilinear.map.length, width: bilinear.map[0].length, data: bilinear.map.flat() };
  assertClose(bilinear.points.map((point) => bilinearSample(map, point)), bilinear.sampled);
});

test("the four neighbors' weights sum to one and their weighted mean is the point", () => {
  for (const [x, y] of [[1.25, 3.5], [-0.7, 2], [4, 4]]) {
    const cells = neighbors(x, y);
    const mean = (pick) => cells.reduce((sum, cell) => sum + cell.weight * pick(cell), 0);
    assertClose([mean(() => 1), mean((cell) => cell.column), mean((cell) => cell.row)], [1, x, y]);
  }
});

test("normalized and pixel coordinates are inverse, half a cell apart at the edge", () => {
  assert.equal(toPixels(0, 6), -0.5);
  assert.equal(toNormalized(toPixels(0.3, 6), 6), 0.3);
});

test("reference points equal the package's for every token of a padded image", () => {
  const points = attention.references.map((_, token) =>
    encoderReferencePoint(token, attention.spatialShapes, attention.validRatios),
  );
  assertClose(points, attention.references);
});

test("a flat token index is row-major, level by level", () => {
  assert.deepEqual(tokenCell(7, attention.spatialShapes), { level: 0, row: 1, column: 1 });
  assert.deepEqual(tokenCell(24 + 3, attention.spatialShapes), { level: 1, row: 1, column: 1 });
});

test("locations around points divide offsets by width and height of the level", () => {
  attention.queries.forEach((token, query) => {
    const locations = samplingLocations(attention.references[token], attention.offsets[query], attention.spatialShapes);
    assertClose(locations, attention.locations[query]);
  });
});

test("locations around boxes divide offsets by twice the number of points, times the box size", () => {
  attention.boxes.forEach((box, query) => {
    assertClose(samplingLocations(box, attention.offsets[query], attention.spatialShapes), attention.boxLocations[query]);
  });
});

test("offsets come back from locations, around points and boxes", () => {
  attention.boxes.forEach((box, query) => {
    assertClose(offsetsOf(box, attention.boxLocations[query], attention.spatialShapes), attention.offsets[query], 1e-8);
  });
});

test("softmax runs over levels and points together", () => {
  attention.logits.forEach((heads, query) => {
    assertClose(heads.map((logits) => jointSoftmax(logits)), attention.weights[query]);
  });
});

test("softmax of huge logits stays finite", () => {
  assertClose(softmax([1000, 1000, -1000]), [0.5, 0.5, 0]);
});

for (const [locations, output] of [["locations", "output"], ["boxLocations", "boxOutput"]]) {
  test(`the weighted sum over ${locations} equals ms_deform_attn`, () => {
    attention[locations].forEach((heads, query) => {
      const sums = heads.map((levels, head) =>
        deformableAttention(headMaps(head), levels, attention.weights[query][head]),
      );
      assertClose(sums, attention[output][query]);
    });
  });
}

test("no bend changes nothing", () => {
  assert.ok(isStraight(STRAIGHT));
  assert.deepEqual(bendOffset([1.5, -2], STRAIGHT), [1.5, -2]);
  assert.deepEqual(bendLogits([[1, 2], [3, 4]], STRAIGHT), [[1, 2], [3, 4]]);
});

test("a quarter turn takes right to down, and scale stretches it", () => {
  assertClose(bendOffset([1, 0], { scale: 2, rotation: 90 }), [0, 2]);
});

test("a high temperature levels the weights, a low one picks the largest, a boost raises one level", () => {
  const logits = [[0, 1], [2, 3]];
  const weights = (bend) => jointSoftmax(bendLogits(logits, { ...STRAIGHT, ...bend })).flat();
  assertClose(weights({ temperature: 1e6 }), [0.25, 0.25, 0.25, 0.25], 1e-5);
  assertClose(weights({ temperature: 0.01 }), [0, 0, 0, 1], 1e-9);
  const [a, b] = weights({ boostLevel: 0, boost: 8 });
  assert.ok(a + b > 0.99);
});

test("packed arrays come back as they were", () => {
  for (const { packed, numbers } of packing.arrays) assertClose(unpack(packed), numbers.map(Math.fround), 0);
});

test("a packed table comes back within the error that was promised", () => {
  const read = unpackTable(packing.table.packed);
  assert.equal(packing.table.packed.rank, 3);
  packing.table.numbers.forEach((row, index) => assertClose(read(index), row, packing.table.error + 1e-6));
});
