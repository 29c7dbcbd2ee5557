/**
 * SamplingPointsExplorer: where one query of a deformable attention looks.
 *
 * The model holds `query`, `head`, `level` (-1 for all), `record` (what Python computed for the query, if
 * Python is there) and `scene` (what never changes). What the sliders bend lives here.
 */

import { mountStatic } from "../host.js";
import { STRAIGHT, isStraight } from "../math/bend.js";
import { tokenCell } from "../math/reference_points.js";
import { createArithmetic } from "./arithmetic.js";
import { createBending } from "./controls.js";
import { createAnnouncer } from "../common/announce.js";
import { createChoices } from "../common/choices.js";
import { add, select, uniquePrefix } from "../common/dom.js";
import { format, percent } from "../common/format.js";
import { drawOnChange } from "../common/live.js";
import { createLevels } from "./levels.js";
import { createPhoto, photoAspect } from "./photo.js";
import { lostWeight, pointKey, samplingPoints } from "./points.js";
import { Scene } from "./scene.js";

/** How much of what it reads a point passes on: the point shown first has the most. */
const counts = (sampled) => sampled.weight * sampled.share;

function render({ model, el }) {
  const packed = model.get("scene");
  // on a static page the photograph travels once, in the picture shown without scripts
  const photoUri = packed.photo ?? el.querySelector("image").getAttribute("href");
  const scene = new Scene(packed);
  const prefix = uniquePrefix();
  const straight = () => Array.from({ length: scene.numHeads }, () => STRAIGHT);
  let bends = straight();
  let selectedKey = null;
  let shown = {}; // what the controls show
  let drawn = null; // the last query whose record was at hand

  const tell = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const onQuery = (query) => tell("query", query);
  const onSelect = (sampled) => {
    selectedKey = pointKey(sampled);
    draw();
  };

  el.replaceChildren();
  const root = add(select(el), "div", { class: "dw spe", id: prefix, role: "group", "aria-label": "Sampling points explorer" });
  root.style("--spe-aspect", photoAspect(scene)).style("--spe-level-rows", Math.ceil(scene.numLevels / 2));
  const body = add(root, "div", { class: "dw-body spe-body" });
  const choices = createChoices(add(body, "div", { class: "spe-choices" }), {
    scene,
    prefix,
    onHead: (head) => tell("head", head),
    onLevel: (level) => tell("level", level),
  });
  const main = add(body, "div", { class: "spe-main" });
  const stage = add(main, "div", { class: "spe-stage" });
  const photo = createPhoto(stage, { scene, photo: photoUri, prefix, onQuery, onSelect });
  const levels = createLevels(add(main, "div", { class: "spe-levels" }), { scene, prefix, onSelect });
  add(
    body,
    "p",
    { class: "spe-key" },
    "Marker area: attention weight. Hollow: reads only zeros. Shade of a map: strength of its values. Hatched: padding.",
  );
  const status = add(body, "p", { class: "spe-status" });
  const announcer = createAnnouncer(body);
  const detail = add(body, "div", { class: "spe-detail" });
  const table = createArithmetic(detail, { scene, prefix });
  const bending = createBending(detail, {
    scene,
    prefix,
    onBend: (change) => {
      const head = model.get("head");
      bends = bends.map((bend, index) => (head < 0 || head === index ? { ...bend, ...change } : bend));
      draw();
    },
    onReset: () => {
      bends = straight();
      selectedKey = null;
      for (const [name, value] of [["head", -1], ["level", -1], ["query", packed.query]]) tell(name, value);
      draw();
    },
  });

  function draw() {
    const wanted = model.get("query");
    const record = scene.record(wanted, model.get("record"));
    if (record) drawn = { query: wanted, record };
    if (!drawn) return; // Python has been asked for it
    const { query } = drawn;
    const head = model.get("head");
    const level = model.get("level");
    const references = scene.references(query);
    const allPoints = samplingPoints(scene, drawn.record, references, bends);
    const points = allPoints.filter(
      (sampled) => (head < 0 || sampled.head === head) && (level < 0 || sampled.level === level),
    );
    let selected = points.find((sampled) => pointKey(sampled) === selectedKey);
    if (!selected) {
      selected = points.reduce((best, sampled) => (counts(sampled) > counts(best) + 1e-9 ? sampled : best), points[0]);
      selectedKey = pointKey(selected);
    }

    const own = tokenCell(query, scene.spatialShapes);
    const cell = scene.gridCell(query) ?? gridCellNear(references);
    const queryText = `row ${own.row}, column ${own.column} of level ${own.level}`;
    const bentNote = bends.every(isStraight) ? "" : " Bent by hand.";
    const text =
      `Query: ${queryText}, at (${references[0].map((value) => format(value, 3)).join(", ")}). ` +
      `${points.length} points; ${percent(lostWeight(points))} of their attention weight reads zeros, ` +
      `outside the map or in the padding.${bentNote}`;
    status.text(text);
    announcer.say(text);
    const view = { allPoints, points, references, cell, query, queryText, head, level, selected, bends };
    photo.draw(view);
    levels.draw(view);
    table.draw(view);
    if (shown.head === head && shown.level === level && shown.bends === bends) return;
    shown = { head, level, bends };
    choices.draw(view);
    bending.draw(view);
  }

  /** Where the arrow keys start from when the query is not on the grid (Python may choose any token). */
  function gridCellNear(references) {
    const [height, width] = scene.spatialShapes[scene.queryLevel];
    const [x, y] = references[scene.queryLevel];
    return { row: Math.round(y * height - 0.5), column: Math.round(x * width - 0.5) };
  }

  return drawOnChange(model, ["query", "head", "level", "record"], draw, announcer);
}

export default { render };

mountStatic("SamplingPointsExplorer", render);
