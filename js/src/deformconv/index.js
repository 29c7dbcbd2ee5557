/**
 * DeformableConvExplorer: the nine points of a kernel over a photograph, and what it answers.
 *
 * The model holds `points` (nine [x, y] relative to the place, in cells), `place` ([x, y], a cell), `kernel` (a
 * name), `arrangements` and `kernels` (what the chips offer), `size` ([height, width] in cells), `gray` (packed
 * values of the cells, 0 to 255) and `picture` (a data URI; on a static page it is in the fallback).
 */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { format } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { amountColor, signedColor } from "../common/ramp.js";
import { unpack } from "../math/packing.js";
import { readings, respondEverywhere } from "../math/sampling.js";

/** Units of the drawings, as in widgets/deformable_conv_explorer.py. */
const WIDTH = 640;
const BEYOND = 1; // how far a point may leave the photograph, in cells
const STRONG = 0.4; // a signed response of this size has the full color
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.25; // of a key on a point; a whole cell with Shift
const sign = (weight) => (weight > 0 ? "+" : weight < 0 ? "−" : "0");
const clamp = (number, low, high) => Math.min(Math.max(number, low), high);

function render({ model, el }) {
  const picture = model.get("picture") || el.querySelector("image").getAttribute("href");
  const [height, width] = model.get("size");
  const kernels = model.get("kernels");
  const arrangements = model.get("arrangements");
  const map = { width, height, data: unpack(model.get("gray")).map((value) => value / 255) };
  const cell = WIDTH / width;
  const tall = cell * height;
  const prefix = uniquePrefix();
  const unit = (cells) => (cells + 0.5) * cell;
  const toCells = (x, y) => [x / cell - 0.5, y / cell - 0.5];

  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const movePoint = (index, [x, y]) => {
    const place = model.get("place");
    const limits = [width - 1 + BEYOND, height - 1 + BEYOND];
    const inside = [x, y].map((number, axis) => clamp(number, -BEYOND, limits[axis]));
    const relative = inside.map((number, axis) => Math.round((number - place[axis]) * 100) / 100);
    tell("points", model.get("points").map((point, other) => (other === index ? relative : point)));
  };
  const goTo = ([x, y]) => tell("place", [clamp(Math.round(x), 0, width - 1), clamp(Math.round(y), 0, height - 1)]);

  el.replaceChildren();
  const label = "Deformable convolution explorer";
  const root = add(select(el), "div", { class: "dw dcx", id: prefix, role: "group", "aria-label": label });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "dcx-controls" });
  const names = Object.keys(arrangements);
  const shapes = createChips(controls, {
    legend: "Points",
    name: `${prefix}-points`,
    options: names.map((name) => ({ value: name, text: name })),
    onChange: (name) => tell("points", arrangements[name]),
  });
  const choices = createChips(controls, {
    legend: "Kernel",
    name: `${prefix}-kernel`,
    options: Object.keys(kernels).map((name) => ({ value: name, text: name })),
    onChange: (name) => tell("kernel", name),
  });

  const main = add(body, "div", { class: "dcx-main" });
  const left = add(main, "figure", { class: "dcx-figure" });
  const stage = add(left, "svg", {
    class: "dcx-stage",
    viewBox: `0 0 ${WIDTH} ${tall}`,
    role: "group",
    "aria-label": "Photograph with nine points: click to move all of them to another place",
  });
  add(stage, "image", { href: picture, width: WIDTH, height: tall, preserveAspectRatio: "none", "aria-hidden": "true" });
  let lattice = "";
  for (let column = 1; column < width; column += 1) lattice += `M${column * cell} 0V${tall}`;
  for (let row = 1; row < height; row += 1) lattice += `M0 ${row * cell}H${WIDTH}`;
  add(stage, "path", { class: "dcx-lattice", d: lattice });
  const paths = ["dcx-line-rim", "dcx-line"].map((name) => add(stage, "path", { class: name }));
  const center = add(stage, "g", {
    class: "dcx-center",
    tabindex: 0,
    role: "slider",
    "aria-label": "Place of the kernel: move all points with the arrow keys",
    "aria-valuemin": 0,
    "aria-valuemax": width * height - 1,
  });
  const cross = `M${-0.8 * cell} 0H${0.8 * cell}M0 ${-0.8 * cell}V${0.8 * cell}`;
  add(center, "rect", { class: "dcx-frame", x: -cell / 2, y: -cell / 2, width: cell, height: cell });
  add(center, "path", { class: "dcx-cross-rim", d: cross });
  add(center, "path", { class: "dcx-cross", d: cross });
  center.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    goTo(model.get("place").map((number, axis) => number + step[axis] * (event.shiftKey ? 4 : 1)));
  });

  const grips = add(stage, "g", { class: "dcx-grips" });
  const circles = arrangements[names[0]].map(() => add(grips, "circle", { class: "dcx-grip", r: 34 }));
  const dots = arrangements[names[0]].map((_, index) => {
    const dot = add(stage, "g", {
      class: "dcx-dot",
      tabindex: 0,
      role: "slider",
      "aria-label": `Point ${index + 1} of 9: drag it, or move it with the arrow keys`,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    });
    add(dot, "circle", { r: 11 });
    add(dot, "text", { y: 1 });
    dot.on("keydown", (event) => {
      const step = ARROWS[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const place = model.get("place");
      const size = event.shiftKey ? 1 : STEP;
      movePoint(index, model.get("points")[index].map((number, axis) => place[axis] + number + step[axis] * size));
    });
    return dot;
  });
  // the grips overlap: what is dragged is the point nearest to the finger
  let dragged = { index: 0, dx: 0, dy: 0 };
  grips.call(
    drag()
      .container(stage.node())
      .subject(({ x, y }) => ({ x, y }))
      .on("start", ({ x, y }) => {
        const place = model.get("place");
        const away = model.get("points").map(([px, py]) => [unit(place[0] + px) - x, unit(place[1] + py) - y]);
        const far = away.map(([dx, dy]) => Math.hypot(dx, dy));
        const index = far.indexOf(Math.min(...far));
        dragged = { index, dx: away[index][0], dy: away[index][1] };
        dots[index].node().focus({ preventScroll: true });
      })
      .on("drag", ({ x, y }) => movePoint(dragged.index, toCells(x + dragged.dx, y + dragged.dy))),
  );
  stage.on("click", (event) => {
    if (event.target.classList.contains("dcx-grip")) return;
    goTo(toCells(...pointer(event, stage.node())));
    center.node().focus({ preventScroll: true });
  });

  const right = add(main, "figure", { class: "dcx-figure" });
  const answers = add(right, "svg", {
    class: "dcx-answers",
    viewBox: `0 0 ${WIDTH} ${tall}`,
    role: "img",
    "aria-label": "What the kernel answers at every cell with these points",
  });
  const cells = Array.from(map.data, (_, index) =>
    add(answers, "rect", {
      class: "dcx-answer",
      x: (index % width) * cell,
      y: Math.floor(index / width) * cell,
      width: cell + 0.5,
      height: cell + 0.5,
    }),
  );
  const here = add(answers, "rect", { class: "dcx-frame", width: cell, height: cell });
  add(left, "figcaption", { class: "dw-muted" }, "nine points, with the sign of their weight");
  const legend = add(right, "figcaption", { class: "dw-muted" });

  const table = add(body, "table", { class: "dw-table dcx-table" });
  add(table, "caption", {}, "weight × reading, point by point");
  const lines = add(table, "tbody");
  const products = [0, 1, 2].flatMap(() => {
    const line = add(lines, "tr");
    return [0, 1, 2].map(() => add(line, "td"));
  });
  const status = add(body, "p", { class: "dcx-status" });
  const announcer = createAnnouncer(body);

  function draw() {
    const place = model.get("place");
    const points = model.get("points");
    const name = model.get("kernel");
    const kernel = kernels[name];
    const signed = kernel.some((weight) => weight < 0);
    const color = signed ? (number) => signedColor(number / STRONG) : amountColor;
    const everywhere = respondEverywhere(map, points, kernel);
    cells.forEach((rect, index) => rect.attr("fill", color(everywhere[index])));
    here.attr("x", place[0] * cell).attr("y", place[1] * cell);
    center
      .attr("transform", `translate(${unit(place[0])},${unit(place[1])})`)
      .attr("aria-valuenow", place[1] * width + place[0])
      .attr("aria-valuetext", `row ${place[1]}, column ${place[0]}`);

    const read = readings(map, place, points);
    const response = read.reduce((sum, reading, index) => sum + kernel[index] * reading, 0);
    let d = "";
    points.forEach(([dx, dy], index) => {
      const [x, y] = [unit(place[0] + dx), unit(place[1] + dy)];
      const rest = [unit(place[0] + (index % 3) - 1), unit(place[1] + Math.floor(index / 3) - 1)];
      d += `M${rest[0]} ${rest[1]}L${x} ${y}`;
      circles[index].attr("cx", x).attr("cy", y);
      const weight = kernel[index];
      dots[index]
        .attr("transform", `translate(${x},${y})`)
        .classed("dcx-negative", weight < 0)
        .classed("dcx-none", weight === 0)
        .attr("aria-valuenow", Math.round(clamp(((place[0] + dx + BEYOND) / (width - 1 + 2 * BEYOND)) * 100, 0, 100)))
        .attr("aria-valuetext", `offset ${format(dx - (index % 3) + 1, 2)}, ${format(dy - Math.floor(index / 3) + 1, 2)}`)
        .select("text")
        .text(sign(weight));
      products[index].text(`${format(weight, 2)} × ${format(read[index], 2)}`);
    });
    for (const path of paths) path.attr("d", d);

    const same = (one, other) => one.every((point, index) => point.every((number, axis) => number === other[index][axis]));
    shapes.set(names.find((key) => same(arrangements[key], points)));
    choices.set(name);
    legend.text(signed ? "response: orange below 0, violet above" : "response: dark 0, bright 1");
    const longest = Math.max(...points.map(([dx, dy], i) => Math.hypot(dx - (i % 3) + 1, dy - Math.floor(i / 3) + 1)));
    const text =
      `At row ${place[1]}, column ${place[0]} the kernel “${name}” answers ${format(response, 3)}. ` +
      (longest < 1e-9 ? "All offsets are 0: an ordinary convolution." : `Longest offset: ${format(longest, 2)} cells.`);
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["points", "place", "kernel"], draw, announcer);
}

export default { render };

mountStatic("DeformableConvExplorer", render);
