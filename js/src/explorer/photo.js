/** The photograph with the query and its sampling points: what the pointer and the arrow keys act on. */

import { drag } from "d3-drag";
import { pointer } from "d3-selection";
import { add, addHatching } from "../common/dom.js";
import { format, levelColor } from "../common/format.js";
import { headPath, headShape } from "../common/marks.js";
import { pointKey } from "./points.js";

/** Longest side of the padded batch, and the rim around it where points outside are still seen. */
export const SIDE = 400;
export const RIM = 24;
/** Points further out than the rim are drawn this far inside its edge. */
const INSET = 8;
/** Area of a marker whose weight is the average one. */
const AVERAGE_AREA = 70;
const SMALLEST_AREA = 5;
/** Up to so many points all carry their weight as a label, else only the chosen one. */
const MOST_LABELS = 8;
/** How near to a point a click counts as on it, in CSS pixels. */
const REACH = 10;
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export const markerScale = (scene, weight, averageArea = AVERAGE_AREA) =>
  Math.sqrt(Math.max(weight * scene.numLevels * scene.numPoints * averageArea, SMALLEST_AREA));

/** Height over width of the picture with its rim: the page keeps this much room. */
export function photoAspect(scene) {
  const [width, height] = scene.canvas.map((side) => (side * SIDE) / Math.max(...scene.canvas) + 2 * RIM);
  return (height / width).toFixed(4);
}

export function createPhoto(parent, { scene, photo, prefix, onQuery, onSelect }) {
  const unit = SIDE / Math.max(...scene.canvas);
  const [width, height] = scene.canvas.map((side) => side * unit);
  const [photoWidth, photoHeight] = scene.photoSize.map((side) => side * unit);
  const hatch = `${prefix}-photo-hatch`;

  const svg = add(parent, "svg", {
    class: "spe-photo",
    viewBox: `${-RIM} ${-RIM} ${width + 2 * RIM} ${height + 2 * RIM}`,
    role: "group",
    "aria-label": "Photograph with the query and its sampling points",
  });
  addHatching(svg, hatch);
  add(svg, "rect", { class: "spe-canvas", width, height, fill: `url(#${hatch})` });
  add(svg, "image", {
    href: photo,
    width: photoWidth,
    height: photoHeight,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  add(svg, "rect", { class: "spe-frame", width, height });
  if (height - photoHeight > 20 || width - photoWidth > 60) {
    add(svg, "text", { class: "spe-padding-label", x: width - 6, y: height - 8 }, "padding");
  }

  const handle = add(svg, "g", {
    class: "spe-handle",
    tabindex: 0,
    role: "slider",
    "aria-label": "Query: drag it, or move it cell by cell with the arrow keys",
  });
  add(handle, "circle", { class: "spe-grip", r: 24 });
  const marks = add(svg, "g", { class: "spe-points", role: "listbox", "aria-label": "Sampling points" });
  const labels = add(svg, "g", { class: "spe-weights", "aria-hidden": "true" });
  const cross = add(svg, "g", { class: "spe-cross", "aria-hidden": "true" });
  add(cross, "path", { class: "spe-cross-rim", d: "M-11 0H11M0 -11V11" });
  add(cross, "path", { class: "spe-cross-core", d: "M-11 0H11M0 -11V11" });

  let shown = [];
  let atCell = { row: 0, column: 0 };
  let active = null; // the point that Tab reaches

  const place = ([x, y]) => [
    Math.min(Math.max(x * width, INSET - RIM), width + RIM - INSET),
    Math.min(Math.max(y * height, INSET - RIM), height + RIM - INSET),
  ];

  function moveTo([x, y]) {
    const [rows, columns] = scene.validSizes[scene.queryLevel];
    const [levelHeight, levelWidth] = scene.spatialShapes[scene.queryLevel];
    const ratios = scene.validRatios[scene.queryLevel];
    // the inverse of the reference point of a cell, on the finest level, whose padded map is the canvas
    const column = (x / width / scene.validRatios[0][0]) * ratios[0] * levelWidth - 0.5;
    const row = (y / height / scene.validRatios[0][1]) * ratios[1] * levelHeight - 0.5;
    const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);
    onQuery(scene.nearestQuery(clamp(row, rows), clamp(column, columns)));
  }

  function nearestPoint([x, y]) {
    const pixel = (width + 2 * RIM) / svg.node().getBoundingClientRect().width;
    let best = null;
    let bestDistance = REACH * pixel;
    for (const sampled of shown) {
      const [pointX, pointY] = place(sampled.location);
      const distance = Math.hypot(pointX - x, pointY - y);
      if (distance < bestDistance) [best, bestDistance] = [sampled, distance];
    }
    return best;
  }

  const move = drag()
    .container(svg.node())
    .on("drag", (event) => moveTo([event.x, event.y]));
  handle.call(move);
  // a mouse may start anywhere; a finger only on the query, so that swiping over the picture scrolls the page
  const moveFromAnywhere = drag()
    .container(svg.node())
    .filter((event) => event.type === "mousedown" && !event.ctrlKey && !event.button)
    .on("drag", (event) => moveTo([event.x, event.y]));
  svg.call(moveFromAnywhere).style("touch-action", "auto");

  svg.on("click", (event) => {
    if (event.defaultPrevented) return;
    const at = pointer(event, svg.node());
    const hit = nearestPoint(at);
    if (hit) onSelect(hit);
    else moveTo(at);
  });
  svg.on("mousemove", (event) => {
    if (event.buttons === 0) svg.classed("spe-over-point", nearestPoint(pointer(event, svg.node())) !== null);
  });

  handle.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const cells = event.shiftKey ? 4 : 1;
    onQuery(scene.nearestQuery(atCell.row + step[0] * cells, atCell.column + step[1] * cells));
  });

  function activate(key, focus) {
    active = key;
    marks.selectAll("path").attr("tabindex", function (sampled) {
      const isActive = pointKey(sampled) === key;
      if (isActive && focus) this.focus({ preventScroll: true });
      return isActive ? 0 : -1;
    });
  }

  marks.on("keydown", (event) => {
    const index = shown.findIndex((sampled) => pointKey(sampled) === active);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (index >= 0) onSelect(shown[index]);
      return;
    }
    const last = shown.length - 1;
    const next = {
      ArrowRight: index + 1,
      ArrowDown: index + 1,
      ArrowLeft: index - 1,
      ArrowUp: index - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    activate(pointKey(shown[Math.min(Math.max(next, 0), last)]), true);
  });

  return {
    /** Draw the points of a query. */
    draw({ points, references, cell, query, queryText, selected }) {
      shown = points;
      atCell = cell;
      const at = place(references[0]);
      const translate = `translate(${at[0].toFixed(2)},${at[1].toFixed(2)})`;
      cross.attr("transform", translate);
      const [rows, columns] = scene.validSizes[scene.queryLevel];
      handle
        .attr("transform", translate)
        .attr("aria-valuemin", 1)
        .attr("aria-valuemax", rows * columns)
        .attr("aria-valuenow", Math.min(Math.max(cell.row * columns + cell.column + 1, 1), rows * columns))
        .attr("aria-valuetext", queryText)
        .attr("data-query", query);

      const drawn = marks.selectAll("path").data(points, pointKey);
      const entered = drawn
        .enter()
        .append("path")
        .attr("class", "spe-point")
        .attr("role", "option")
        .attr("tabindex", -1)
        .attr("d", (sampled) => headPath(sampled.head))
        .style("--spe-color", (sampled) => levelColor(sampled.level))
        .attr("data-point", pointKey)
        .attr("aria-label", ({ head, level, point }) => `Head ${head}, level ${level}, point ${point} (${headShape(head)})`)
        .on("click", (event, sampled) => {
          event.stopPropagation();
          onSelect(sampled);
        });
      drawn.exit().remove();
      const all = drawn.merge(entered);
      if (!entered.empty()) all.order();
      const chosen = selected ? pointKey(selected) : null;
      all.each(function (sampled) {
        const [x, y] = place(sampled.location);
        const scale = markerScale(scene, sampled.weight);
        this.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})scale(${scale.toFixed(3)})`);
        const lost = sampled.share < 1e-6;
        if (this.classList.contains("spe-lost") !== lost) this.classList.toggle("spe-lost", lost);
        const isChosen = pointKey(sampled) === chosen;
        if ((this.getAttribute("aria-selected") === "true") !== isChosen || !this.hasAttribute("aria-selected")) {
          this.setAttribute("aria-selected", isChosen);
        }
      });
      labels
        .selectAll("text")
        .data(points.filter((sampled) => points.length <= MOST_LABELS || pointKey(sampled) === chosen))
        .join("text")
        .each(function (sampled) {
          const [x, y] = place(sampled.location);
          const gap = markerScale(scene, sampled.weight) * 0.6 + 4;
          const onTheLeft = x > width - 50;
          this.setAttribute("x", onTheLeft ? x - gap : x + gap);
          this.setAttribute("y", y);
          this.setAttribute("text-anchor", onTheLeft ? "end" : "start");
          this.textContent = format(sampled.weight, 3);
        });
      if (!points.some((sampled) => pointKey(sampled) === active)) active = null;
      if (active === null && points.length) activate(chosen ?? pointKey(points[0]), false);
      else if (!entered.empty()) activate(active, false);
    },
  };
}
