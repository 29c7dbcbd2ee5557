/**
 * TrainedPointsExplorer: where every attention of a trained detector looks, in one picture.
 *
 * The model holds `attention` ("encoder 0", ..., "decoder 2"), `head` and `level` (-1 for all), `token` (the
 * encoder's query), `detection` (the decoder's) and `scene` (picture and records; Python changes it as a whole).
 */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChoices } from "../common/choices.js";
import { createChips } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { levelColor } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { tokenCell } from "../math/reference_points.js";
import { RIM, createPanel } from "./panel.js";
import { describe, readAttention, smallestAround, tokenAt, tokenBeside } from "./records.js";

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const TOKEN_WINDOW = 0.42; // of the picture's longer side
const STATE = ["attention", "head", "level", "token", "detection"];

/** Build everything for one scene; returns how to draw it, and how to stop. */
function build(model, root, photo) {
  const scene = model.get("scene");
  const attentions = scene.attentions.map((packed) => ({ ...packed, ...readAttention(packed, scene) }));
  const prefix = root.attr("id");
  const shapes = scene.spatialShapes;
  const last = attentions[attentions.length - 1];
  const tell = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };

  root.selectAll("*").remove();
  const body = add(root, "div", { class: "dw-body" });
  const attentionChips = createChips(body, {
    legend: "Attention",
    name: `${prefix}-attention`,
    options: attentions.map(({ name }) => ({ value: name, text: name })),
    onChange: (name) => tell("attention", name),
  });
  const choices = createChoices(add(body, "div", { class: "tpx-choices" }), {
    scene,
    prefix,
    onHead: (head) => tell("head", head),
    onLevel: (level) => tell("level", level),
  });
  const queries = add(body, "div", { class: "tpx-queries" });
  const detectionChips = createChips(queries, {
    legend: "Query",
    name: `${prefix}-detection`,
    options: scene.detections.map((text, value) => ({ value, text: `${value} ${text}` })),
    onChange: (detection) => tell("detection", detection),
  });
  const levelChips = createChips(queries, {
    legend: "Query: a token of level",
    name: `${prefix}-token`,
    options: shapes.map((_, level) => ({
      value: level,
      text: level,
      label: `Token of level ${level}`,
      mark: (chip) => add(chip, "span", { class: "dw-swatch", style: `background:${levelColor(level)}` }),
    })),
    onChange: (level) => tell("token", tokenAt(attentions[0].reference(model.get("token")), level, shapes)),
  });
  const [ofDecoder, ofEncoder] = queries.selectAll("fieldset").nodes().map(select);

  const main = add(body, "div", { class: "tpx-main" });
  const picture = createPanel(main, { size: scene.size, photo, rim: RIM });
  const zoom = createPanel(add(main, "div", { class: "tpx-zoom-room" }), { size: scene.size, photo, rim: 0 });
  const handle = add(picture.svg, "g", {
    class: "tpx-handle",
    role: "slider",
    tabindex: 0,
    "aria-label": "Token: click on the picture, or move it cell by cell with the arrow keys",
  });
  add(handle, "circle", { class: "tpx-grip", r: 16 });
  const status = add(body, "p", { class: "tpx-status" });
  add(body, "p", { class: "dw-muted tpx-key" }, scene.key);
  const announcer = createAnnouncer(body);
  picture.svg.attr("role", "group").attr("aria-label", "Picture with the boxes of the detections and the sampling points");
  zoom.svg.attr("role", "img");

  const isEncoder = () => model.get("attention").startsWith("encoder");
  function goTo(place) {
    const point = picture.toPicture(place);
    if (isEncoder()) {
      tell("token", tokenAt(point, tokenCell(model.get("token"), shapes).level, shapes));
    } else {
      const hit = smallestAround(last.boxes, point);
      if (hit >= 0) tell("detection", hit);
    }
  }
  picture.svg.on("click", (event) => {
    if (!event.defaultPrevented) goTo(pointer(event, picture.svg.node()));
  });
  // a mouse may drag; a finger taps, so that swiping over the picture scrolls the page
  const move = drag()
    .container(picture.svg.node())
    .filter((event) => event.type === "mousedown" && !event.ctrlKey && !event.button)
    .on("drag", (event) => isEncoder() && goTo([event.x, event.y]));
  picture.svg.call(move).style("touch-action", "auto");
  handle.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    tell("token", tokenBeside(model.get("token"), step, shapes));
  });

  function draw() {
    const [name, head, level, token, detection] = STATE.map((trait) => model.get(trait));
    const attention = attentions.find((each) => each.name === name);
    const encoder = isEncoder();
    const query = encoder ? token : detection;
    const reference = attention.reference(query);
    const points = attention
      .points(query)
      .filter((point) => (head < 0 || point.head === head) && (level < 0 || point.level === level));
    const boxes = encoder ? last.boxes : attention.boxes;
    const box = encoder ? smallestAround(boxes, reference) : detection;
    const [height, width] = scene.size.map((side) => side / Math.max(...scene.size));
    const window = encoder
      ? [reference[0] * width - TOKEN_WINDOW / 2, reference[1] * height - TOKEN_WINDOW / 2, TOKEN_WINDOW]
      : scene.windows[detection];

    attentionChips.set(name);
    choices.draw({ head, level });
    detectionChips.set(detection);
    levelChips.set(tokenCell(token, shapes).level);
    ofDecoder.classed("tpx-away", encoder);
    ofEncoder.classed("tpx-away", !encoder);
    const view = { points, reference, boxes, chosen: box };
    const at = picture.draw(view);
    zoom.draw({ ...view, window });
    const text = describe({ attention, query, points, boxes, box, scene });
    handle.attr("display", encoder ? null : "none");
    if (encoder) {
      const own = tokenCell(token, shapes);
      const [rows, columns] = shapes[own.level];
      handle
        .attr("transform", `translate(${at})`)
        .attr("aria-valuemin", 1)
        .attr("aria-valuemax", rows * columns)
        .attr("aria-valuenow", own.row * columns + own.column + 1)
        .attr("aria-valuetext", `row ${own.row}, column ${own.column} of level ${own.level}`);
    }
    zoom.svg.attr("aria-label", encoder ? "Enlarged around the token" : `Enlarged: detection ${detection}`);
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, STATE, draw, announcer);
}

function render({ model, el }) {
  // on a static page the picture travels once, in what is shown without scripts
  const asleep = el.querySelector("image")?.getAttribute("href");
  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw tpx", id: uniquePrefix(), role: "group", "aria-label": "Trained points explorer" });
  let stop = () => {};
  function rebuild() {
    stop();
    stop = build(model, root, model.get("scene").photo ?? asleep);
  }
  model.on("change:scene", rebuild);
  rebuild();
  return () => {
    stop();
    model.off("change:scene", rebuild);
  };
}

export default { render };

mountStatic("TrainedPointsExplorer", render);
