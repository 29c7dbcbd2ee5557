/**
 * RefinementExplorer: boxes and sampling points from layer to layer.
 *
 * The model holds `layer`, `query`, `start` and `scene` (what never changes: objects, names, and for each start
 * the boxes, scores and sampling points of every layer, computed in Python).
 */

import { mountStatic } from "../host.js";
import { createAnnouncer } from "../common/announce.js";
import { createChips, createSlider } from "../common/controls.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { drawOnChange } from "../common/live.js";
import { createPhoto, createZoom } from "./picture.js";
import { describe, layerName, readRun } from "./records.js";

function render({ model, el }) {
  const scene = model.get("scene");
  // on a static page the picture travels once, in what is shown without scripts
  const photo = scene.photo ?? el.querySelector("image").getAttribute("href");
  const starts = Object.keys(scene.starts);
  const runs = Object.fromEntries(starts.map((start) => [start, readRun(scene.starts[start], scene.shape)]));
  const prefix = uniquePrefix();
  const tell = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw rx", id: prefix, role: "group", "aria-label": "Refinement explorer" });
  const body = add(root, "div", { class: "dw-body" });
  const controls = add(body, "div", { class: "rx-controls" });
  const slider = createSlider(controls, {
    id: `${prefix}-layer`,
    label: "Layer",
    min: 0,
    max: runs[starts[0]].numLayers,
    step: 1,
    onInput: (layer) => tell("layer", layer),
  });
  const startChips = createChips(controls, {
    legend: "Start",
    name: `${prefix}-start`,
    options: starts.map((start) => ({ value: start, text: start })),
    onChange: (start) => tell("start", start),
  });
  const main = add(body, "div", { class: "rx-main" });
  const picture = createPhoto(main, { scene, photo, onQuery: (query) => tell("query", query) });
  const zoom = createZoom(add(main, "div", { class: "rx-zoom-room" }), { scene, photo });
  const queryChips = createChips(body, {
    legend: "Query",
    name: `${prefix}-query`,
    options: scene.names.map((name, query) => ({ value: query, text: `${query} ${name}` })),
    onChange: (query) => tell("query", query),
  });
  const status = add(body, "p", { class: "rx-status" });
  add(body, "p", { class: "dw-muted rx-key" }, scene.key);
  const announcer = createAnnouncer(body);

  function draw() {
    const [layer, query, start] = ["layer", "query", "start"].map((name) => model.get(name));
    const run = runs[start];
    const text = describe(run, { name: scene.names[query], query, layer });
    slider.set(layer, layerName(layer), layer === 0 ? "start" : `after layer ${layer}`);
    startChips.set(start);
    queryChips.set(query);
    picture.draw(run.boxes[layer], query);
    zoom.draw({ run, query, layer }, `Enlarged: ${scene.names[query]}, ${layerName(layer)}, with its sampling points`);
    status.text(text);
    announcer.say(text);
  }

  return drawOnChange(model, ["layer", "query", "start"], draw, announcer);
}

export default { render };

mountStatic("RefinementExplorer", render);
