/**
 * TokenExplorer: a token in the flattened list, its cell on the map of its level, its patch on the photograph.
 *
 * The model holds `token` (index into the list), `shapes` ([height, width] of the levels, finest first), `canvas`
 * and `size` ([height, width] in pixels of the padded batch and of the photograph in its corner) and `picture` (a
 * data URI; on a static page it is in the fallback).
 */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips, createSlider } from "../common/controls.js";
import { add, addHatching, select, uniquePrefix } from "../common/dom.js";
import { format, levelColor } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { validCells } from "../math/padding.js";
import { addressOf, countTokens, levelStarts, patchOf, samePlace, tokenAt, tokenOfPoint } from "../math/tokens.js";

/** Units of the drawings, as in widgets/token_explorer.py. */
const MAPS = { width: 400, gap: 20, label: 26 };
const LIST = { width: 640, height: 34, top: 5, bottom: 29 };
const ZOOM = { width: 640, height: 44, tokens: 13 };
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Lines between `rows` x `columns` cells over a box. */
function gridPath(x, y, width, height, rows, columns) {
  let path = "";
  for (let row = 0; row <= rows; row += 1) path += `M${x} ${y + (row / rows) * height}h${width}`;
  for (let column = 0; column <= columns; column += 1) path += `M${x + (column / columns) * width} ${y}v${height}`;
  return path;
}

function render({ model, el }) {
  const picture = model.get("picture") ?? el.querySelector("image")?.getAttribute("href");
  const shapes = model.get("shapes");
  const canvas = model.get("canvas");
  const size = model.get("size");
  const [canvasHeight, canvasWidth] = canvas;
  const total = countTokens(shapes);
  const starts = levelStarts(shapes);
  const valid = shapes.map((shape) => shape.map((cells, axis) => validCells(size[axis], canvas[axis], cells)));
  const isPadding = ({ level, row, column }) => row >= valid[level][0] || column >= valid[level][1];
  const prefix = uniquePrefix();
  let hovered = null;

  const choose = (token) => {
    const inside = Math.min(Math.max(token, 0), total - 1);
    if (inside === model.get("token")) return;
    model.set("token", inside);
    model.save_changes();
  };
  const move = (key, token = model.get("token")) => {
    const { level, row, column } = addressOf(token, shapes);
    return tokenAt(level, row + ARROWS[key][0], column + ARROWS[key][1], shapes);
  };

  el.replaceChildren();
  const label = "Token explorer";
  const root = add(select(el), "div", { class: "dw toe", id: prefix, role: "group", "aria-label": label });
  const body = add(root, "div", { class: "dw-body" });

  const controls = add(body, "div", { class: "toe-controls" });
  const levels = createChips(controls, {
    legend: "Level",
    name: `${prefix}-level`,
    options: shapes.map((_, level) => ({
      value: level,
      text: String(level),
      label: `level ${level}`,
      mark: (chip) => add(chip, "span", { class: "dw-swatch" }).style("background", levelColor(level)),
    })),
    onChange: (level) => choose(samePlace(model.get("token"), level, shapes)),
  });
  const slider = createSlider(controls, {
    id: `${prefix}-token`,
    label: "Token",
    min: 0,
    max: total - 1,
    step: 1,
    onInput: choose,
  });

  const views = add(body, "div", { class: "toe-views" });
  const stage = add(views, "svg", {
    class: "toe-stage",
    viewBox: `0 0 ${canvasWidth} ${canvasHeight}`,
    role: "group",
    "aria-label": "The photograph on its padded canvas: click it to choose the token of this level that covers a place",
  });
  addHatching(stage, `${prefix}-hatch`, 8);
  add(stage, "rect", { width: canvasWidth, height: canvasHeight, fill: `url(#${prefix}-hatch)` });
  const box = { width: size[1], height: size[0], preserveAspectRatio: "none", "aria-hidden": "true" };
  add(stage, "image", { href: picture, ...box });
  const grids = shapes.map(([rows, columns]) =>
    add(stage, "path", { class: "toe-grid", d: gridPath(0, 0, canvasWidth, canvasHeight, rows, columns) }),
  );

  const half = (MAPS.width - MAPS.gap) / 2;
  const mapHeight = (half * canvasHeight) / canvasWidth;
  const corner = (level) => [
    (level % 2) * (half + MAPS.gap),
    Math.floor(level / 2) * (mapHeight + MAPS.label + MAPS.gap / 2) + MAPS.label,
  ];
  const lines = Math.ceil(shapes.length / 2);
  const maps = add(views, "svg", {
    class: "toe-maps",
    viewBox: `0 0 ${MAPS.width} ${lines * (mapHeight + MAPS.label + MAPS.gap / 2)}`,
    role: "group",
    "aria-label": "The maps of all levels: click a cell to choose its token",
  });
  addHatching(maps, `${prefix}-maps-hatch`, 8);
  shapes.forEach(([rows, columns], level) => {
    const [x, y] = corner(level);
    const own = [(valid[level][0] / rows) * mapHeight, (valid[level][1] / columns) * half];
    add(maps, "rect", { x, y: y - MAPS.label + 4, width: 12, height: 12, rx: 2, fill: levelColor(level) });
    const text = `${level}: ${rows} × ${columns}, from ${starts[level]}`;
    add(maps, "text", { class: "toe-label", x: x + 17, y: y - MAPS.label + 15 }, text);
    add(maps, "rect", { x, y, width: half, height: mapHeight, fill: `url(#${prefix}-maps-hatch)` });
    add(maps, "rect", { class: "toe-own", x, y, width: own[1], height: own[0], fill: levelColor(level) });
    add(maps, "path", { class: "toe-lines", d: gridPath(x, y, half, mapHeight, rows, columns) });
  });
  const cellBox = ({ level, row, column }) => {
    const [rows, columns] = shapes[level];
    const [x, y] = corner(level);
    const [width, height] = [half / columns, mapHeight / rows];
    return { x: x + column * width, y: y + row * height, width, height };
  };

  const list = add(body, "svg", {
    class: "toe-list",
    viewBox: `0 0 ${LIST.width} ${LIST.height}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `The list of all ${total} tokens; dark parts are padding. The slider called Token goes along it`,
  });
  const along = (token) => (token / total) * LIST.width;
  let stripes = "";
  shapes.forEach(([rows, columns], level) => {
    const end = (starts[level] + rows * columns) / total;
    const place = { x: along(starts[level]), y: LIST.top, width: end * LIST.width - along(starts[level]) };
    add(list, "rect", { ...place, height: LIST.bottom - LIST.top, fill: levelColor(level), class: "toe-level" });
    for (let row = 0; row < rows; row += 1) {
      const first = row < valid[level][0] ? valid[level][1] : 0;
      const from = along(starts[level] + row * columns + first);
      const long = along(columns - first);
      if (first < columns) stripes += `M${from.toFixed(2)} ${LIST.top}h${long.toFixed(2)}V${LIST.bottom}h${-long.toFixed(2)}z`;
    }
  });
  add(list, "path", { class: "toe-padding", d: stripes });

  const zoom = add(body, "svg", {
    class: "toe-zoom",
    viewBox: `0 0 ${ZOOM.width} ${ZOOM.height}`,
    role: "img",
    "aria-label": "The tokens before and after the chosen one in the list",
  });
  addHatching(zoom, `${prefix}-zoom-hatch`, 8);
  const slot = ZOOM.width / ZOOM.tokens;
  const slots = Array.from({ length: ZOOM.tokens }, (_, index) => {
    const place = { x: index * slot, y: 1, width: slot, height: ZOOM.height - 2 };
    const ground = add(zoom, "rect", { ...place });
    const rect = add(zoom, "rect", { class: "toe-slot", ...place });
    return { ground, rect, text: add(zoom, "text", { class: "toe-number", x: (index + 0.5) * slot, y: ZOOM.height / 2 }) };
  });
  let first = 0;

  const status = add(body, "p", { class: "toe-status" });
  const announcer = createAnnouncer(body);

  // What is marked twice: the token under the mouse, and the chosen one.
  const marks = ["toe-hovered", "toe-chosen"].map((kind) => ({
    cell: add(maps, "rect", { class: `toe-cell ${kind}` }),
    tick: add(list, "path", { class: `toe-tick ${kind}` }),
    halo: add(stage, "rect", { class: `toe-halo ${kind}` }),
    patch: add(stage, "rect", { class: `toe-patch ${kind}` }),
  }));
  const marker = add(stage, "g", {
    class: "toe-marker",
    tabindex: 0,
    role: "slider",
    "aria-label": "Chosen token: drag it over the photograph, or move it by a cell with the arrow keys",
    "aria-valuemin": 0,
    "aria-valuemax": total - 1,
  });
  const grip = add(marker, "circle", { class: "toe-grip" });
  const focus = add(marker, "rect", { class: "toe-focus" });

  function mark({ cell, tick, halo, patch }, token) {
    const shown = token === null ? "hidden" : "visible";
    for (const part of [cell, tick, halo, patch]) part.attr("visibility", shown);
    if (token === null) return;
    const address = addressOf(token, shapes);
    const [x1, y1, x2, y2] = patchOf(token, shapes, canvas);
    for (const part of [halo, patch]) part.attr("x", x1).attr("y", y1).attr("width", x2 - x1).attr("height", y2 - y1);
    patch.attr("stroke", levelColor(address.level));
    for (const [name, value] of Object.entries(cellBox(address))) cell.attr(name, value);
    tick.attr("d", `M${along(token + 0.5)} 0V${LIST.height}`);
  }

  function draw() {
    const token = model.get("token");
    const shown = hovered ?? token;
    const address = addressOf(shown, shapes);
    const { level, row, column, start } = address;
    grids.forEach((grid, index) => grid.attr("visibility", index === level ? "visible" : "hidden"));
    mark(marks[0], hovered);
    mark(marks[1], token);

    const [x1, y1, x2, y2] = patchOf(token, shapes, canvas);
    const chosen = addressOf(token, shapes);
    grip.attr("cx", (x1 + x2) / 2).attr("cy", (y1 + y2) / 2).attr("r", Math.max(x2 - x1, y2 - y1, canvasWidth / 24));
    focus.attr("x", x1 - 5).attr("y", y1 - 5).attr("width", x2 - x1 + 10).attr("height", y2 - y1 + 10);
    const name = `level ${chosen.level}, row ${chosen.row}, column ${chosen.column}`;
    marker.attr("aria-valuenow", token).attr("aria-valuetext", `token ${token}: ${name}`);
    levels.set(chosen.level);
    slider.set(token, String(token), `${token}, ${name}`);

    if (!zoomed) first = shown - Math.floor(ZOOM.tokens / 2);
    slots.forEach(({ ground, rect, text }, index) => {
      const number = first + index;
      const there = number >= 0 && number < total;
      for (const part of [ground, rect, text]) part.attr("visibility", there ? "visible" : "hidden");
      if (!there) return;
      const of = addressOf(number, shapes);
      ground.attr("fill", isPadding(of) ? `url(#${prefix}-zoom-hatch)` : "none");
      rect
        .attr("fill", levelColor(of.level))
        .attr("fill-opacity", isPadding(of) ? 0.12 : 0.4)
        .classed("toe-here", number === shown);
      text.text(number).classed("toe-here", number === shown);
    });

    const [left, top, right, bottom] = patchOf(shown, shapes, canvas).map((side) => format(side, 1));
    const text =
      `Token ${shown} = ${start} + ${row} · ${shapes[level][1]} + ${column}: level ${level}, row ${row}, ` +
      `column ${column}. Its patch: x ${left} to ${right}, y ${top} to ${bottom} pixels. ` +
      `${isPadding(address) ? "It is padding." : "It is photograph."}`;
    status.text(text);
    if (hovered === null) announcer.say(text);
  }

  // Every view knows which token is at a place of it.
  const inMaps = ([x, y]) => {
    const level = shapes.findIndex((_, index) => {
      const [left, top] = corner(index);
      return x >= left && x < left + half && y >= top && y < top + mapHeight;
    });
    if (level < 0) return null;
    const [left, top] = corner(level);
    return tokenOfPoint(level, x - left, y - top, shapes, [mapHeight, half]);
  };
  const onStage = ([x, y]) => tokenOfPoint(addressOf(model.get("token"), shapes).level, x, y, shapes, canvas);
  const inList = ([x]) => Math.min(Math.max(Math.floor((x / LIST.width) * total), 0), total - 1);
  const inZoom = ([x]) => {
    const token = first + Math.floor(x / slot);
    return token >= 0 && token < total ? token : null;
  };
  let zoomed = false; // while the mouse is over the numbers, they stay in place
  for (const [view, tokenOf] of [[stage, onStage], [maps, inMaps], [list, inList], [zoom, inZoom]]) {
    const at = (event) => tokenOf(pointer(event, view.node()));
    const hover = (token) => {
      if (token === hovered) return;
      hovered = token;
      draw();
    };
    view.on("pointermove", (event) => {
      if (event.pointerType !== "mouse" || event.buttons) return;
      zoomed = view === zoom;
      hover(at(event));
    });
    view.on("pointerleave", () => {
      zoomed = false;
      hover(null);
    });
    view.on("click", (event) => {
      const token = at(event);
      if (token === null) return;
      hovered = null;
      zoomed = false;
      choose(token);
      if (view === stage) marker.node().focus({ preventScroll: true });
    });
  }
  marker.call(
    drag()
      .container(stage.node())
      .subject((event) => ({ x: event.x, y: event.y }))
      .on("start", () => {
        hovered = null;
      })
      .on("drag", (event) => choose(onStage([event.x, event.y]))),
  );
  marker.on("keydown", (event) => {
    if (!ARROWS[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(move(event.key));
  });

  return drawOnChange(model, ["token"], draw, announcer);
}

export default { render };

mountStatic("TokenExplorer", render);
