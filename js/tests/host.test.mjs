// The model that stands in for a kernel on a static page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { StaticModel, mountStatic } from "../src/host.js";

test("a change is heard once, under its own name and as a change at large", () => {
  const model = new StaticModel({ query: 3 });
  const heard = [];
  model.on("change:query change:head", () => heard.push(["query", model.get("query")]));
  model.on("change", () => heard.push("any"));
  model.set("query", 4);
  model.set("query", 4);
  model.save_changes();
  assert.deepEqual(heard, [["query", 4], "any"]);
});

test("off stops one listener, all of an event, or everything", () => {
  const model = new StaticModel({ a: 0 });
  let count = 0;
  const listener = () => (count += 1);
  for (const stop of [() => model.off("change:a", listener), () => model.off("change:a"), () => model.off()]) {
    model.on("change:a", listener);
    stop();
    model.set("a", model.get("a") + 1);
  }
  assert.equal(count, 0);
});

test("the state handed in is not changed", () => {
  const state = Object.freeze({ a: 1 });
  new StaticModel(state).set("a", 2);
  assert.equal(state.a, 1);
});

test("without a page nothing is mounted", () => {
  mountStatic("Anything", () => assert.fail("nothing to render"), undefined);
});
