// The matching explorer's mathematics against torch, torchvision and scipy: tests/widgets/export_fixtures.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { cheapest, greedy, nearest, total } from "../src/math/assignment.js";
import { distance, generalizedOverlap } from "../src/math/boxes.js";
import { describe, pairCosts } from "../src/matching/pairs.js";

const fixture = JSON.parse(readFileSync(new URL("fixtures/matching.json", import.meta.url)));
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);

test("distance and overlap of every pair equal torch's and torchvision's", () => {
  fixture.slots.forEach((slot, q) =>
    fixture.objects.forEach((object, n) => {
      near(distance(slot, object), fixture.distance[q][n]);
      near(generalizedOverlap(slot, object), fixture.overlap[q][n]);
    }),
  );
});

test("a box overlaps itself by 1, and a box far away by less than 0", () => {
  near(generalizedOverlap([0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4]), 1);
  assert.ok(generalizedOverlap([0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]) < -0.9);
});

test("the cheapest pairing is scipy's", () => {
  for (const { cost, chosen, sum } of fixture.costs) {
    assert.deepEqual(cheapest(cost), chosen);
    near(total(cost, chosen), sum);
  }
});

test("equal costs still give every object a slot of its own", () => {
  const chosen = cheapest(Array.from({ length: 5 }, () => [1, 1, 1]));
  assert.equal(new Set(chosen).size, 3);
  assert.ok(chosen.every((slot) => slot >= 0 && slot < 5));
});

test("greedy takes the smallest entry first and is never cheaper", () => {
  assert.deepEqual(greedy([[2, 9], [1, 3]]), [1, 0]);
  for (const { cost, sum } of fixture.costs) {
    const chosen = greedy(cost);
    assert.equal(new Set(chosen).size, chosen.length);
    assert.ok(total(cost, chosen) >= sum - 1e-9);
  }
});

test("the nearest slot may be taken twice, and that is at most as expensive", () => {
  assert.deepEqual(nearest([[2, 9], [1, 3]]), [1, 1]);
  for (const { cost, sum } of fixture.costs) assert.ok(total(cost, nearest(cost)) <= sum + 1e-9);
});

test("the cost of a pair is the class part plus both weighted parts of the boxes", () => {
  const scene = { objects: fixture.objects, labelCost: fixture.slots.map(() => [-0.5, -0.25, 0, -1]), weights: { boxes: 5, giou: 2 } };
  const cost = pairCosts(fixture.slots, scene);
  near(cost[3][1], -0.25 + 5 * fixture.distance[3][1] - 2 * fixture.overlap[3][1]);
  assert.deepEqual([cost.length, cost[0].length], [6, 4]);
});

test("a pairing in words names a slot that answers twice, and how much greedy costs more", () => {
  const names = ["cup", "spoon"];
  assert.equal(
    describe({ names, rule: "nearest", chosen: [1, 1], sum: -1, least: 2 }),
    "Pairs: cup – slot 1, spoon – slot 1. Sum of the costs −1.00. Slot 1 answers more than once.",
  );
  assert.equal(
    describe({ names, rule: "greedy", chosen: [1, 0], sum: 3, least: 2 }),
    "Pairs: cup – slot 1, spoon – slot 0. Sum of the costs 3.00, 1.00 above the cheapest.",
  );
});
