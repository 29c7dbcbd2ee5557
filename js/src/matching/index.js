/**
 * MatchingExplorer: which slot answers for which object.
 *
 * The model holds `boxes` ([cx, cy, w, h] of each slot, fractions of the photograph), `rule` and `scene` (what
 * never changes: size, objects, names, the class part of the cost, what each slot says, the boxes at the start).
 */

import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { drawOnChange } from "../common/live.js";
import { cheapest, greedy, nearest, total } from "../math/assignment.js";
import { createMatrix } from "./matrix.js";
import { createPicture } from "./picture.js";
import { describe, pairCosts } from "./pairs.js";

const RULES = { cheapest, greedy, nearest };

function render({ model, el }) {
  const scene = model.get("scene");
  // on a static page the photograph travels once, in the picture shown without scripts
  const photo = scene.photo ?? el.querySelector("image").getAttribute("href");
  const prefix = uniquePrefix();
  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const onMove = (slot, [x, y]) => {
    const place = [x, y].map((number) => Math.min(Math.max(number, 0), 1));
    tell("boxes", model.get("boxes").map((box, index) => (index === slot ? [...place, box[2], box[3]] : box)));
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw mx", id: prefix, role: "group", "aria-label": "Matching explorer" });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "mx-controls" });
  const rules = createChips(controls, {
    legend: "Pairs",
    name: `${prefix}-rule`,
    options: Object.keys(RULES).map((rule) => ({ value: rule, text: rule })),
    onChange: (rule) => tell("rule", rule),
  });
  add(controls, "button", { type: "button", class: "dw-button" }, "Reset").on("click", () => {
    tell("boxes", scene.start);
    tell("rule", "cheapest");
  });
  const main = add(body, "div", { class: "mx-main" });
  const picture = createPicture(add(main, "div", { class: "mx-stage" }), { scene, photo, onMove });
  const matrix = createMatrix(add(main, "div", { class: "mx-costs" }), scene);
  const status = add(body, "p", { class: "mx-status" });
  add(body, "p", { class: "dw-muted mx-key" }, scene.key);
  const announcer = createAnnouncer(body);

  function draw() {
    const boxes = model.get("boxes");
    const rule = model.get("rule");
    const cost = pairCosts(boxes, scene);
    const chosen = RULES[rule](cost);
    const text = describe({ names: scene.names, rule, chosen, sum: total(cost, chosen), least: total(cost, cheapest(cost)) });
    rules.set(rule);
    picture.draw(boxes, chosen);
    matrix.draw(cost, chosen);
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["boxes", "rule"], draw, announcer);
}

export default { render };

mountStatic("MatchingExplorer", render);
