/**
 * CostExplorer: memory and work of dense and of deformable attention, for an image, levels, points and queries.
 *
 * The model holds `height` (the shorter side, pixels), `ratio` (width over height), `strides`, `points`, `queries`,
 * `part` ("encoder" or "decoder"), `channels` and `heads`.
 */

import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips, createSlider } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { levelColor } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { costs } from "../math/complexity.js";
import { createChart, sampledSides, SIDES } from "./chart.js";
import { bytesText, countText, timesText, workText } from "./units.js";

const STRIDES = [8, 16, 32, 64];
const STEP = 16;
const COLUMNS = ["one layer", "project", "predict", "read", "all", "held"];
const MEMORY = { domain: [2 ** 12, 2 ** 43], ticks: [[2 ** 20, "1 MiB"], [2 ** 30, "1 GiB"], [2 ** 40, "1 TiB"]] };
const WORK = { domain: [4e5, 2e14], ticks: [[1e6, "1 M"], [1e9, "1 G"], [1e12, "1 T"]] };

function render({ model, el }) {
  const prefix = uniquePrefix();
  const ratio = model.get("ratio");
  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const setSide = (side) => {
    const rounded = Math.min(Math.max(Math.round(side / STEP) * STEP, SIDES[0]), SIDES[1]);
    if (rounded !== model.get("height")) tell("height", rounded);
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw ce", id: prefix, role: "group", "aria-label": "Cost explorer" });
  const body = add(root, "div", { class: "dw-body" });
  const choices = add(body, "div", { class: "ce-choices" });
  const parts = createChips(choices, {
    legend: "In the",
    name: `${prefix}-part`,
    options: ["encoder", "decoder"].map((part) => ({ value: part, text: part })),
    onChange: (part) => tell("part", part),
  });
  const levels = add(choices, "fieldset", { class: "dw-chips" });
  add(levels, "legend", {}, "Strides");
  const boxes = STRIDES.map((stride, index) => {
    const chip = add(levels, "label", { class: "dw-chip" });
    const input = add(chip, "input", { type: "checkbox", value: stride, "aria-label": `level of stride ${stride}` });
    add(chip, "span", { class: "dw-swatch", style: `background:${levelColor(index)}` });
    add(chip, "span", { "aria-hidden": "true" }, stride);
    input.on("change", () => {
      const chosen = STRIDES.filter((other) => (other === stride) !== model.get("strides").includes(other));
      if (chosen.length) tell("strides", chosen);
      else input.property("checked", true); // at least one level stays
    });
    return input;
  });
  const sliders = add(body, "div", { class: "ce-sliders" });
  const slider = (name, label, min, max, step, onInput) =>
    createSlider(sliders, { id: `${prefix}-${name}`, label, min, max, step, onInput });
  const side = slider("side", "Image", SIDES[0], SIDES[1], STEP, setSide);
  const points = slider("points", "Points K", 1, 16, 1, (value) => tell("points", value));
  const queries = slider("queries", "Queries", 10, 1000, 10, (value) => tell("queries", value));

  const panels = add(body, "div", { class: "ce-panels" });
  const memory = createChart(panels, { title: "Memory held by one layer", ...MEMORY, textOf: bytesText, onSide: setSide });
  const work = createChart(panels, { title: "Multiply-adds of one layer", ...WORK, textOf: workText, onSide: setSide });
  const table = add(body, "table", { class: "dw-table ce-table" });
  const head = add(add(table, "thead"), "tr");
  for (const column of COLUMNS) add(head, "th", { scope: "col" }, column);
  const rows = add(table, "tbody");
  const cells = ["dense", "deformable"].map((kind) => {
    const row = add(rows, "tr");
    const name = add(row, "th", { scope: "row" });
    add(name, "span", { class: `ce-key ce-key-${kind}`, "aria-hidden": "true" });
    add(name, "span", {}, kind);
    return COLUMNS.slice(1).map((column) => add(row, "td", { "data-column": column }));
  });
  const status = add(body, "p", { class: "ce-status" });
  const announcer = createAnnouncer(body);
  const sides = sampledSides();

  function draw() {
    const names = ["strides", "points", "queries", "part", "channels", "heads"];
    const setting = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const height = model.get("height");
    const at = (shorter) => costs({ ...setting, height: shorter, width: Math.floor(shorter * ratio + 0.5) });
    const width = Math.floor(height * ratio + 0.5);
    const here = at(height);
    const along = sides.map(at);
    const both = [here.dense, here.deformable];

    parts.set(setting.part);
    boxes.forEach((input, index) => input.property("checked", setting.strides.includes(STRIDES[index])));
    side.set(height, `${height} × ${width}`, `${height} by ${width} pixels`);
    points.set(setting.points, String(setting.points));
    queries.set(setting.queries, String(setting.queries));
    queries.row.classed("ce-idle", setting.part === "encoder");

    for (const [chart, field, text, name] of [
      [memory, "heldBytes", bytesText, "Memory"],
      [work, "multiplyAdds", workText, "Multiply-adds"],
    ]) {
      chart.draw({
        side: height,
        sides,
        lines: { dense: along.map(({ dense }) => dense[field]), deformable: along.map(({ deformable }) => deformable[field]) },
        values: { dense: here.dense[field], deformable: here.deformable[field] },
        label: `${name} over the side of the image. At ${height} pixels: dense ${text(here.dense[field])}, deformable ${text(here.deformable[field])}`,
      });
    }
    both.forEach((cost, index) => {
      const texts = [cost.projections, cost.predictions, cost.reading, cost.multiplyAdds].map(workText);
      [...texts, bytesText(cost.heldBytes)].forEach((text, column) => cells[index][column].text(text));
    });
    const compare = (field, what) => {
      const times = here.dense[field] / here.deformable[field];
      return times >= 1 ? `${timesText(times)} times ${what}` : `1/${timesText(1 / times)} of ${what}`;
    };
    const text =
      `${height} × ${width} pixels are ${countText(here.tokens)} tokens. Dense attention in one ${setting.part} layer ` +
      `holds ${bytesText(here.dense.heldBytes)}: ${compare("heldBytes", "the memory")} and ` +
      `${compare("multiplyAdds", "the work")} of deformable attention.`;
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["height", "strides", "points", "queries", "part"], draw, announcer);
}

export default { render };

mountStatic("CostExplorer", render);
