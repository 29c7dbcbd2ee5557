/** The cost of every pair, and a pairing in words. */

import { format } from "../common/format.js";
import { distance, generalizedOverlap } from "../math/boxes.js";

/** `cost[slot][object]`: the class part, which does not move, plus both parts of the boxes. */
export const pairCosts = (boxes, { objects, labelCost, weights }) =>
  boxes.map((box, slot) =>
    objects.map(
      (object, index) =>
        labelCost[slot][index] +
        weights.boxes * distance(box, object) -
        weights.giou * generalizedOverlap(box, object),
    ),
  );

/** One sentence a fact: who answers for whom, a slot that answers twice, the sum, and how far it is from the least. */
export function describe({ names, rule, chosen, sum, least }) {
  const pairs = chosen.map((slot, object) => `${names[object]} – slot ${slot}`).join(", ");
  const twice = [...new Set(chosen.filter((slot, index) => chosen.indexOf(slot) !== index))].sort();
  const double = twice.length ? ` Slot ${twice.join(" and slot ")} answers more than once.` : "";
  const gap = sum - least;
  const worse = rule === "greedy" && gap > 0.005 ? `, ${format(gap, 2)} above the cheapest` : "";
  return `Pairs: ${pairs}. Sum of the costs ${format(sum, 2)}${worse}.${double}`;
}
