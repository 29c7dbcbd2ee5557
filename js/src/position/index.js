/**
 * PositionExplorer: which cells have an encoding like that of the chosen cell, and what its numbers are.
 *
 * The model holds `cell` ([row, column]), `temperature`, `channel` (-1: similarity of whole vectors), `size`
 * ([height, width] in cells), `features` (channels an axis) and `picture` (a data URI; on a static page it is in
 * the fallback).
 */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips, createSlider } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { format } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { amountColor, signedColor } from "../common/ramp.js";
import { angleOf, channelOf, encode, nameOf, similarities, slower, vectorOf } from "../math/position.js";

/** Units of the drawings, as in widgets/position_explorer.py. */
const WIDTH = 640;
const BARS = { width: 640, height: 120, middle: 60, reach: 50 };
/** Ten steps of the slider are a factor of 10; it ends at 10000. */
const MOST_STEPS = 40;
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const ALL = -1;

const legendStops = (color, low) => Array.from({ length: 9 }, (_, i) => color(low + ((1 - low) * i) / 8)).join(",");
const temperatureText = (temperature) => (temperature < 10 ? format(temperature, 1) : String(Math.round(temperature)));

function render({ model, el }) {
  const picture = model.get("picture") ?? el.querySelector("image")?.getAttribute("href");
  const [rows, columns] = model.get("size");
  const features = model.get("features");
  const aspect = model.get("aspect");
  const height = WIDTH * aspect;
  const [cellHeight, cellWidth] = [height / rows, WIDTH / columns];
  const prefix = uniquePrefix();

  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const goTo = (cell) => {
    const inside = [Math.min(Math.max(cell[0], 0), rows - 1), Math.min(Math.max(cell[1], 0), columns - 1)];
    const [row, column] = model.get("cell");
    if (inside[0] !== row || inside[1] !== column) tell("cell", inside);
  };

  el.replaceChildren();
  const label = "Position encoding explorer";
  const root = add(select(el), "div", { class: "dw poe", id: prefix, role: "group", "aria-label": label });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "poe-controls" });
  const views = createChips(controls, {
    legend: "Show",
    name: `${prefix}-view`,
    options: [
      { value: "similarity", text: "similarity" },
      { value: "channel", text: "one channel" },
    ],
    onChange: (view) => tell("channel", view === "similarity" ? ALL : lastChannel),
  });
  const heat = createSlider(controls, {
    id: `${prefix}-temperature`,
    label: "Temperature T",
    min: 0,
    max: MOST_STEPS,
    step: 1,
    onInput: (step) => tell("temperature", 10 ** (step / 10)),
  });
  const channels = createSlider(controls, {
    id: `${prefix}-channel`,
    label: "Channel",
    min: 0,
    max: 2 * features - 1,
    step: 1,
    onInput: (channel) => tell("channel", channel),
  });
  let lastChannel = features;

  const figure = add(body, "figure", { class: "poe-figure" });
  const stage = add(figure, "svg", {
    class: "poe-stage",
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "group",
    "aria-label": "The photograph under its cells: click a cell to choose it",
  });
  add(stage, "image", { href: picture, width: WIDTH, height, preserveAspectRatio: "none", "aria-hidden": "true" });
  const cells = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const box = { x: column * cellWidth, y: row * cellHeight, width: cellWidth, height: cellHeight };
      cells.push(add(stage, "rect", { ...box, class: "poe-cell" }));
    }
  }
  const cellAt = (x, y) => [Math.floor(y / cellHeight), Math.floor(x / cellWidth)];
  stage.on("click", (event) => {
    goTo(cellAt(...pointer(event, stage.node())));
    marker.node().focus({ preventScroll: true });
  });
  const marker = add(stage, "g", {
    class: "poe-marker",
    tabindex: 0,
    role: "slider",
    "aria-label": "Chosen cell: drag it, or move it with the arrow keys",
    "aria-valuemin": 0,
    "aria-valuemax": rows * columns - 1,
  });
  const reach = Math.max(cellWidth, cellHeight) / 2;
  add(marker, "circle", { class: "poe-grip", r: Math.max(reach, 24) });
  add(marker, "rect", {
    class: "poe-frame",
    x: -cellWidth / 2,
    y: -cellHeight / 2,
    width: cellWidth,
    height: cellHeight,
  });
  const cross = `M${-0.5 * reach} 0H${0.5 * reach}M0 ${-0.5 * reach}V${0.5 * reach}`;
  add(marker, "path", { class: "poe-cross-rim", d: cross });
  add(marker, "path", { class: "poe-cross", d: cross });
  marker.call(
    drag()
      .container(stage.node())
      .subject((event) => ({ x: event.x, y: event.y }))
      .on("drag", (event) => goTo(cellAt(event.x, event.y))),
  );
  marker.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    goTo(model.get("cell").map((place, axis) => place + step[axis]));
  });

  const legend = add(figure, "figcaption", { class: "poe-legend" });
  const low = add(legend, "span");
  const bar = add(legend, "span", { class: "poe-ramp", "aria-hidden": "true" });
  add(legend, "span", {}, "1");
  const meaning = add(legend, "span", { class: "dw-muted" });

  const bars = add(body, "svg", {
    class: "poe-bars",
    viewBox: `0 0 ${BARS.width} ${BARS.height}`,
    role: "img",
    "aria-label": "The vector of the chosen cell as bars, the y half on the left and the x half on the right",
  });
  const slot = BARS.width / (2 * features);
  const highlight = add(bars, "rect", { class: "poe-chosen", y: 0, width: slot, height: BARS.height });
  const sticks = Array.from({ length: 2 * features }, (_, channel) =>
    add(bars, "rect", { class: channel < features ? "poe-y" : "poe-x", x: (channel + 0.12) * slot, width: slot * 0.76 }),
  );
  add(bars, "path", { class: "poe-axis", d: `M0 ${BARS.middle}H${BARS.width}M${BARS.width / 2} 0V${BARS.height}` });
  add(bars, "text", { class: "poe-half", x: 6, y: BARS.height - 8 }, "y half");
  add(bars, "text", { class: "poe-half", x: BARS.width / 2 + 6, y: BARS.height - 8 }, "x half");
  bars.on("click", (event) => {
    const [x] = pointer(event, bars.node());
    tell("channel", Math.min(Math.max(Math.floor(x / slot), 0), 2 * features - 1));
  });
  const status = add(body, "p", { class: "poe-status" });
  const announcer = createAnnouncer(body);

  function draw() {
    const cell = model.get("cell");
    const temperature = model.get("temperature");
    const channel = model.get("channel");
    const whole = channel === ALL;
    if (!whole) lastChannel = channel;
    const code = encode([rows, columns], features, temperature);
    const values = whole ? similarities(code, cell) : channelOf(code, channel);
    const flat = values.flat();
    const color = whole ? amountColor : signedColor;
    cells.forEach((rect, index) => rect.attr("fill", color(flat[index])));

    const [row, column] = cell;
    marker
      .attr("transform", `translate(${(column + 0.5) * cellWidth},${(row + 0.5) * cellHeight})`)
      .attr("aria-valuenow", row * columns + column)
      .attr("aria-valuetext", `row ${row}, column ${column}`);
    const vector = vectorOf(code, cell);
    sticks.forEach((stick, index) => {
      const length = vector[index] * BARS.reach;
      stick.attr("y", BARS.middle - Math.max(length, 0)).attr("height", Math.abs(length));
    });
    highlight.attr("x", Math.max(channel, 0) * slot).attr("visibility", whole ? "hidden" : "visible");

    views.set(whole ? "similarity" : "channel");
    heat.set(Math.round(10 * Math.log10(temperature)), temperatureText(temperature));
    const { axis, pair, wave } = nameOf(lastChannel, features);
    channels.set(lastChannel, String(lastChannel), `${lastChannel}, ${wave} of ${axis}, pair ${pair}`);
    low.text(whole ? "0" : "−1");
    bar.style("background", `linear-gradient(to right,${legendStops(color, whole ? 0 : -1)})`);
    meaning.text(whole ? "similarity" : `channel ${channel}`);

    let text = `Cell (${row}, ${column}). `;
    if (whole) {
      const least = flat.indexOf(Math.min(...flat));
      const next = values[row][column + 1 < columns ? column + 1 : column - 1];
      const mean = flat.reduce((a, b) => a + b) / flat.length;
      text +=
        `Next in its row: ${format(next, 3)}. Least alike: ${format(flat[least], 3)}, at ` +
        `(${Math.floor(least / columns)}, ${least % columns}). Mean of all: ${format(mean, 3)}.`;
    } else {
      const angle = axis === "y" ? angleOf(row, rows) : angleOf(column, columns);
      const exact = slower(pair, features, temperature);
      const long = format(exact, exact < 100 ? 2 : 0);
      text +=
        `Channel ${channel} = ${wave}(${axis} / ${long}) = ${wave}(${format(angle, 3)} / ${long}) ` +
        `= ${format(vector[channel], 3)}. One wave: ${long} pictures.`;
    }
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["cell", "temperature", "channel"], draw, announcer);
}

export default { render };

mountStatic("PositionExplorer", render);
