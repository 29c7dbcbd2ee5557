/**
 * BoxLossExplorer: two boxes, the losses between them, and where each of them pulls.
 *
 * The model holds `box` and `other` ([cx, cy, w, h], fractions of the picture), `loss` ("l1", "iou", "giou" or
 * "sum") and `scene` (both boxes at the start, and the key).
 */

import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { format } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { amountColor } from "../common/ramp.js";
import { boxLosses, step } from "../math/box_losses.js";
import { createPicture } from "./picture.js";
import { describe, NAMES, slopeText } from "./words.js";

const [SMALLEST, LARGEST] = [0.04, 0.8];
const COLUMNS = ["cx", "cy", "w", "h"];
const SHORT = { ...NAMES, sum: "sum" };

const between = (number, low, high) => Math.min(Math.max(number, low), high);
/** The nearest box of an allowed size that lies in the picture, so that its handles stay in reach. */
function allowed([cx, cy, ...sides]) {
  const [w, h] = sides.map((side) => between(side, SMALLEST, LARGEST));
  return [between(cx, w / 2, 1 - w / 2), between(cy, h / 2, 1 - h / 2), w, h];
}

function render({ model, el }) {
  const scene = model.get("scene");
  const prefix = uniquePrefix();
  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw bx", id: prefix, role: "group", "aria-label": "Box loss explorer" });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "bx-controls" });
  const chips = createChips(controls, {
    legend: "Loss",
    name: `${prefix}-loss`,
    options: Object.entries(NAMES).map(([value, text]) => ({ value, text })),
    onChange: (loss) => tell("loss", loss),
  });
  const buttons = add(controls, "div", { class: "bx-buttons" });
  add(buttons, "button", { type: "button", class: "dw-button" }, "Step").on("click", () => {
    const [box, other] = [model.get("box"), model.get("other")];
    tell("box", allowed(step(box, boxLosses(box, other)[model.get("loss")].slopes)));
  });
  add(buttons, "button", { type: "button", class: "dw-button" }, "Reset").on("click", () => {
    tell("box", scene.box);
    tell("other", scene.other);
  });
  const main = add(body, "div", { class: "bx-main" });
  const figure = add(main, "figure", { class: "bx-figure" });
  const picture = createPicture(add(figure, "div", { class: "bx-stage" }), {
    hatch: `${prefix}-hatch`,
    onMove: (name, box) => tell(name, allowed(box)),
  });
  const legend = add(figure, "figcaption", { class: "bx-legend" });
  const low = add(legend, "span");
  const stops = Array.from({ length: 9 }, (_, index) => amountColor(index / 8)).join(",");
  add(legend, "span", { class: "bx-ramp", "aria-hidden": "true", style: `background:linear-gradient(to right,${stops})` });
  const high = add(legend, "span");
  add(legend, "span", { class: "dw-muted" }, "loss, by place");

  const side = add(main, "div", { class: "bx-side" });
  const table = add(side, "table", { class: "dw-table bx-table" });
  add(table, "caption", {}, "Losses and their slopes");
  const head = table.append("thead").append("tr");
  for (const text of ["loss", "value", ...COLUMNS]) add(head, "th", { scope: "col" }, text);
  const lines = table.append("tbody");
  const rows = Object.keys(NAMES).map((name) => {
    const row = lines.append("tr");
    add(row, "th", { scope: "row" }, SHORT[name]);
    return { name, row, cells: ["value", ...COLUMNS].map(() => row.append("td")) };
  });
  const status = add(side, "p", { class: "bx-status" });
  add(body, "p", { class: "dw-muted bx-key" }, scene.key);
  const announcer = createAnnouncer(body);

  function draw() {
    const [box, other, loss] = [model.get("box"), model.get("other"), model.get("loss")];
    const losses = boxLosses(box, other);
    chips.set(loss);
    const [least, most] = picture.draw(box, other, loss, losses[loss].slopes);
    low.text(format(least, 2));
    high.text(format(most, 2));
    for (const { name, row, cells } of rows) {
      row.classed("bx-chosen", name === loss);
      const { value, slopes } = losses[name];
      [format(value, 2), ...slopes.map(slopeText)].forEach((text, index) => cells[index].text(text));
    }
    const text = describe(losses, loss);
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["box", "other", "loss"], draw, announcer);
}

export default { render };

mountStatic("BoxLossExplorer", render);
