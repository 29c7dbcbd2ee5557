/** Ways to give every object a slot. `cost[slot][object]`; each function returns the slot of every object. */

/** Every object takes its cheapest slot; a slot may be taken twice. */
export const nearest = (cost) =>
  cost[0].map((_, object) => cost.reduce((best, row, slot) => (row[object] < cost[best][object] ? slot : best), 0));

/** The smallest entry first; its row and its column are struck out. */
export function greedy(cost) {
  const chosen = cost[0].map(() => -1);
  const entries = cost.flatMap((row, slot) => row.map((price, object) => ({ price, slot, object })));
  entries.sort((a, b) => a.price - b.price);
  for (const { slot, object } of entries) {
    if (chosen[object] < 0 && !chosen.includes(slot)) chosen[object] = slot;
  }
  return chosen;
}

/**
 * The pairing with the smallest sum: the Hungarian algorithm, for at least as many slots as objects.
 *
 * Objects are added one by one. Each looks for the cheapest chain of exchanges that ends at a free slot; prices
 * on objects and slots keep every exchange from costing less than nothing.
 */
export function cheapest(cost) {
  const [numSlots, numObjects] = [cost.length, cost[0].length];
  const priceOfObject = new Float64Array(numObjects);
  const priceOfSlot = new Float64Array(numSlots + 1);
  const holder = new Int32Array(numSlots + 1).fill(-1); // the object that has a slot; the last slot is where chains begin
  for (let object = 0; object < numObjects; object += 1) {
    const reach = new Float64Array(numSlots).fill(Infinity);
    const cameFrom = new Int32Array(numSlots).fill(-1);
    const seen = new Array(numSlots + 1).fill(false);
    let slot = numSlots;
    holder[slot] = object;
    while (holder[slot] >= 0) {
      seen[slot] = true;
      const asking = holder[slot];
      let [step, next] = [Infinity, -1];
      for (let other = 0; other < numSlots; other += 1) {
        if (seen[other]) continue;
        const slack = cost[other][asking] - priceOfObject[asking] - priceOfSlot[other];
        if (slack < reach[other]) [reach[other], cameFrom[other]] = [slack, slot];
        if (reach[other] < step) [step, next] = [reach[other], other];
      }
      for (let other = 0; other <= numSlots; other += 1) {
        if (seen[other]) {
          priceOfObject[holder[other]] += step;
          priceOfSlot[other] -= step;
        } else {
          reach[other] -= step;
        }
      }
      slot = next;
    }
    while (slot !== numSlots) {
      holder[slot] = holder[cameFrom[slot]];
      slot = cameFrom[slot];
    }
    holder[numSlots] = -1;
  }
  return cost[0].map((_, object) => holder.subarray(0, numSlots).indexOf(object));
}

/** Sum of the chosen entries. */
export const total = (cost, chosen) => chosen.reduce((sum, slot, object) => sum + cost[slot][object], 0);
