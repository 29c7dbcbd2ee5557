/**
 * PaddingExplorer: pictures of different size in one batch, and the mask on a feature map.
 *
 * The model holds `sizes` ([height, width] of each picture, in pixels), `stride` (1 for pixels), `start` (the
 * sizes at the beginning), `maxSide` and `pictures` (data URIs; on a static page they are in the fallback).
 */

import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { levelColor, percent } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { maskOnMap, paddingShare } from "../math/padding.js";
import { createPanel } from "./panel.js";
import { createTable } from "./table.js";

const STRIDES = [1, 8, 16, 32, 64];

function render({ model, el }) {
  const pictures =
    model.get("pictures") ?? Array.from(el.querySelectorAll("image"), (image) => image.getAttribute("href"));
  const maxSide = model.get("maxSide");
  const prefix = uniquePrefix();

  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const resize = (index, size) => {
    const sizes = model.get("sizes");
    const rounded = size.map((side) => Math.min(Math.max(Math.round(side), 1), maxSide));
    if (rounded.every((side, axis) => side === sizes[index][axis])) return;
    tell("sizes", sizes.map((old, other) => (other === index ? rounded : old)));
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw pde", id: prefix, role: "group", "aria-label": "Padding explorer" });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "pde-controls" });
  const strides = createChips(controls, {
    legend: "Mask of",
    name: `${prefix}-stride`,
    options: STRIDES.map((stride, index) => ({
      value: stride,
      text: stride === 1 ? "pixels" : `stride ${stride}`,
      mark: (chip) =>
        stride > 1 && add(chip, "span", { class: "dw-swatch", style: `background:${levelColor(index - 1)}` }),
    })),
    onChange: (stride) => tell("stride", stride),
  });
  add(controls, "button", { type: "button", class: "dw-button" }, "Reset").on("click", () => {
    tell("sizes", model.get("start"));
    tell("stride", 1);
  });
  const row = add(body, "div", { class: "pde-panels" });
  const panels = pictures.map((picture, index) =>
    createPanel(row, { picture, index, maxSide, prefix, onResize: (size) => resize(index, size) }),
  );
  const status = add(body, "p", { class: "pde-status" });
  const table = createTable(body, pictures.length);
  add(
    body,
    "p",
    { class: "dw-muted pde-key" },
    "Drag a round handle, or use the arrow keys on it (with Shift by single pixels). Hatched: padding. Gray cells: the mask is True.",
  );
  const announcer = createAnnouncer(body);

  function draw() {
    const sizes = model.get("sizes");
    const stride = model.get("stride");
    const map = maskOnMap(sizes, stride);
    const [height, width] = map.canvas;
    const unit = stride === 1 ? "pixels" : `cells at stride ${stride}`;
    const text =
      `Canvas: ${height} × ${width} pixels. ${percent(paddingShare(sizes))} of the batch is padding. ` +
      `Each mask has ${map.cells[0]} × ${map.cells[1]} ${unit}.`;
    status.text(text);
    announcer.say(text);
    strides.set(stride);
    const color = levelColor(Math.max(STRIDES.indexOf(stride) - 1, 0));
    panels.forEach((panel, index) => panel.draw({ size: sizes[index], map, stride, color, ...map.pictures[index] }));
    table.draw({ sizes, map, stride });
  }

  return drawOnChange(model, ["sizes", "stride"], draw, announcer);
}

export default { render };

mountStatic("PaddingExplorer", render);
