/**
 * BilinearExplorer: a point over a small map, its four neighbors, what it reads, and the slope of the reading.
 *
 * The model holds `point` ([x, y] in cells) and `map` (rows of numbers).
 */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { add, addHatching, select, uniquePrefix } from "../common/dom.js";
import { format } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { amountColor } from "../common/ramp.js";
import { isInside } from "../math/bilinear.js";
import { readWithSlope } from "../math/sampling.js";

/** Units of the drawing, as in widgets/bilinear_explorer.py. */
const CELL = 80;
const RIM = 0.9; // cells around the map that the point may enter
const BEYOND = 1.3; // how far from the outer centers it may go, in cells
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.125; // of a key; a whole cell with Shift
const RATE = 0.2; // of a step downhill
const LONGEST = 1.4; // of the arrow, in cells

const NAMES = ["upper left", "upper right", "lower left", "lower right"];

function render({ model, el }) {
  const rows = model.get("map");
  const map = { height: rows.length, width: rows[0].length, data: rows.flat() };
  const start = model.get("point");
  const prefix = uniquePrefix();
  const least = Math.min(...map.data);
  const span = Math.max(...map.data) - least || 1;
  const shade = (value) => amountColor((value - least) / span);
  const dark = (value) => (value - least) / span < 0.62;
  const place = (cells) => (cells + 0.5 + RIM) * CELL;

  const goTo = ([x, y]) => {
    const within = (number, size) => Math.min(Math.max(number, -BEYOND), size - 1 + BEYOND);
    const rounded = [within(x, map.width), within(y, map.height)].map((number) => Math.round(number * 1000) / 1000);
    model.set("point", rounded);
    model.save_changes();
  };

  el.replaceChildren();
  const label = "Bilinear reading explorer";
  const root = add(select(el), "div", { class: "dw bix", id: prefix, role: "group", "aria-label": label });
  const body = add(root, "div", { class: "dw-body" });
  const main = add(body, "div", { class: "bix-main" });
  const size = [map.width, map.height].map((cells) => (cells + 2 * RIM) * CELL);
  const stage = add(main, "svg", {
    class: "bix-stage",
    viewBox: `0 0 ${size[0]} ${size[1]}`,
    role: "group",
    "aria-label": "A map of numbered cells with a point: click to put the point somewhere",
  });
  addHatching(stage, `${prefix}-hatch`, 12);
  add(stage, "rect", { width: size[0], height: size[1], fill: `url(#${prefix}-hatch)` });
  rows.forEach((line, row) =>
    line.forEach((value, column) => {
      const [x, y] = [place(column - 0.5), place(row - 0.5)];
      add(stage, "rect", { class: "bix-cell", x, y, width: CELL, height: CELL, fill: shade(value) });
      const text = { class: dark(value) ? "bix-value bix-on-dark" : "bix-value", x: x + 7, y: y + 20 };
      add(stage, "text", text, format(value, Number.isInteger(value) ? 0 : 1));
    }),
  );
  const frames = NAMES.map(() => add(stage, "rect", { class: "bix-neighbor", width: CELL, height: CELL }));
  const square = add(stage, "rect", { class: "bix-square", width: CELL, height: CELL });
  const arrow = add(stage, "g", { class: "bix-arrow", "aria-hidden": "true" });
  const shafts = ["bix-shaft-rim", "bix-shaft"].map((name) => add(arrow, "path", { class: name }));
  const marker = add(stage, "g", {
    class: "bix-marker",
    tabindex: 0,
    role: "slider",
    "aria-label": "Point: drag it, or move it with the arrow keys, a whole cell with Shift",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  add(marker, "circle", { class: "bix-grip", r: 44 });
  add(marker, "circle", { class: "bix-dot", r: 9 });
  const toCells = (x, y) => [x / CELL - 0.5 - RIM, y / CELL - 0.5 - RIM];
  stage.on("click", (event) => {
    goTo(toCells(...pointer(event, stage.node())));
    marker.node().focus({ preventScroll: true });
  });
  let grabbed = [0, 0];
  marker.call(
    drag()
      .container(stage.node())
      .subject(({ x, y }) => ({ x, y }))
      .on("start", ({ x, y }) => {
        const point = model.get("point");
        grabbed = [place(point[0]) - x, place(point[1]) - y];
      })
      .on("drag", ({ x, y }) => goTo(toCells(x + grabbed[0], y + grabbed[1]))),
  );
  marker.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    goTo(model.get("point").map((number, axis) => number + step[axis] * (event.shiftKey ? 1 : STEP)));
  });

  const side = add(main, "div", { class: "bix-side" });
  const table = add(side, "table", { class: "dw-table bix-table" });
  add(table, "caption", {}, "The four neighbors");
  const head = add(add(table, "thead"), "tr");
  for (const name of ["(row, column)", "value", "weight", "product"]) add(head, "th", { scope: "col" }, name);
  const lines = add(table, "tbody");
  const cellsOfTable = NAMES.map((name) => {
    const line = add(lines, "tr");
    const title = add(line, "th", { scope: "row", title: name });
    return [title, ...[0, 1, 2].map(() => add(line, "td"))];
  });
  const foot = add(add(table, "tfoot"), "tr");
  add(foot, "th", { scope: "row" }, "reading");
  add(foot, "td");
  const kept = add(foot, "td");
  const sum = add(foot, "td");
  const buttons = add(side, "div", { class: "bix-buttons" });
  const downhill = () => {
    const { slope } = readWithSlope(map, model.get("point"));
    goTo(model.get("point").map((number, axis) => number - RATE * slope[axis]));
  };
  add(buttons, "button", { type: "button", class: "dw-button" }, "Step downhill").on("click", downhill);
  add(buttons, "button", { type: "button", class: "dw-button" }, "Reset").on("click", () => goTo(start));
  const status = add(body, "p", { class: "bix-status" });
  const announcer = createAnnouncer(body);

  function draw() {
    const point = model.get("point");
    const { cells, reading, slope } = readWithSlope(map, point);
    const [x, y] = point.map(place);
    const share = { inside: 0 };
    cells.forEach((cell, index) => {
      const inside = isInside(cell, map);
      if (inside) share.inside += cell.weight;
      frames[index]
        .attr("x", place(cell.column - 0.5))
        .attr("y", place(cell.row - 0.5))
        .classed("bix-unused", cell.weight === 0)
        .classed("bix-outside", !inside);
      const [title, value, weight, product] = cellsOfTable[index];
      title.text(inside ? `(${cell.row}, ${cell.column})` : "outside");
      value.text(format(cell.value, 1));
      weight.text(format(cell.weight, 3));
      product.text(format(cell.weight * cell.value, 3));
    });
    kept.text(format(share.inside, 3));
    sum.text(format(reading, 3));
    square.attr("x", x - CELL / 2).attr("y", y - CELL / 2);
    const steep = Math.hypot(...slope);
    arrow.attr("visibility", steep > 1e-9 ? "visible" : "hidden");
    if (steep > 1e-9) {
      const length = Math.min(0.3 + 0.25 * steep, LONGEST) * CELL;
      const turn = (Math.atan2(slope[1], slope[0]) * 180) / Math.PI;
      arrow.attr("transform", `translate(${x},${y}) rotate(${turn})`);
      for (const shaft of shafts) shaft.attr("d", `M0 0H${length}M${length - 12} -9L${length} 0L${length - 12} 9`);
    }
    const spoken = `x ${format(point[0], 3)}, y ${format(point[1], 3)}, reads ${format(reading, 3)}`;
    marker
      .attr("transform", `translate(${x},${y})`)
      .attr("aria-valuenow", Math.round(((point[0] + BEYOND) / (map.width - 1 + 2 * BEYOND)) * 100))
      .attr("aria-valuetext", spoken);
    const onCenter = point.map((number) => Number.isInteger(number));
    const where = onCenter[0] && onCenter[1] ? "On a center" : onCenter[0] || onCenter[1] ? "In line with centers" : "";
    const kink = where && steep > 1e-9 ? ` ${where}, the slope jumps; this is the one to the right and below.` : "";
    const flat = steep > 1e-9 ? "" : " Flat: nothing pulls the point.";
    const text =
      `(x, y) = (${format(point[0], 3)}, ${format(point[1], 3)}) reads ${format(reading, 3)}. ` +
      `Slope (${format(slope[0], 2)}, ${format(slope[1], 2)}), the arrow, uphill.${kink}${flat}`;
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["point"], draw, announcer);
}

export default { render };

mountStatic("BilinearExplorer", render);
