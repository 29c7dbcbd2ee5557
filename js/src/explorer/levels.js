/** The small maps, one a level: value strength as shade, grid lines, padding hatched, points of that level. */

import { add, addHatching } from "../common/dom.js";
import { levelColor } from "../common/format.js";
import { headPath } from "../common/marks.js";
import { markerScale } from "./photo.js";
import { arithmetic, pointKey } from "./points.js";

const SIDE = 160;
const RIM = 10;
const SHADES = 8;
const AVERAGE_AREA = 26;

/** One path a shade, so that a map of a thousand cells is eight elements. */
export function shadePaths(map, largest) {
  const paths = Array.from({ length: SHADES }, () => "");
  for (let row = 0; row < map.validHeight; row += 1) {
    for (let column = 0; column < map.validWidth; column += 1) {
      const share = Math.abs(map.data[row * map.width + column]) / largest;
      const shade = Math.min(Math.floor(share * SHADES), SHADES - 1);
      paths[shade] += `M${column} ${row}h1v1h-1z`;
    }
  }
  return paths;
}

/** The strength over all heads: the norm of the value before it is cut into heads. */
function combined(maps) {
  const data = maps[0].data.map((_, cell) => Math.hypot(...maps.map((map) => map.data[cell])));
  return { ...maps[0], data };
}

export function createLevels(parent, { scene, prefix, onSelect }) {
  const views = scene.spatialShapes.map(([height, width], level) => {
    const figure = add(parent, "figure", { class: "spe-level", "data-level": level });
    // every level covers the same canvas
    const [drawnWidth, drawnHeight] = scene.canvas.map((side) => (side * SIDE) / Math.max(...scene.canvas));
    const [cellWidth, cellHeight] = [drawnWidth / width, drawnHeight / height];
    const svg = add(figure, "svg", {
      viewBox: `${-RIM} ${-RIM} ${drawnWidth + 2 * RIM} ${drawnHeight + 2 * RIM}`,
      role: "img",
      "aria-label": `Level ${level}, ${height} by ${width} cells, shaded by the strength of the values`,
    });
    const hatch = `${prefix}-level-${level}-hatch`;
    addHatching(svg, hatch, 5);
    add(svg, "rect", { class: "spe-canvas", width: drawnWidth, height: drawnHeight, fill: `url(#${hatch})` });
    const [rows, columns] = scene.validSizes[level];
    add(svg, "rect", { class: "spe-ground", width: columns * cellWidth, height: rows * cellHeight });
    const shades = add(svg, "g", { class: "spe-shades", transform: `scale(${cellWidth},${cellHeight})` });
    let lines = "";
    for (let column = 0; column <= width; column += 1) lines += `M${column * cellWidth} 0V${drawnHeight}`;
    for (let row = 0; row <= height; row += 1) lines += `M0 ${row * cellHeight}H${drawnWidth}`;
    add(svg, "path", { class: "spe-grid", d: lines });
    const cells = add(svg, "g", { class: "spe-cells" });
    const marks = add(svg, "g", { class: "spe-points" });
    const cross = add(svg, "g", { class: "spe-cross" });
    add(cross, "path", { class: "spe-cross-rim", d: "M-6 0H6M0 -6V6" });
    add(cross, "path", { class: "spe-cross-core", d: "M-6 0H6M0 -6V6" });
    const caption = add(figure, "figcaption");
    add(caption, "span", { class: "dw-swatch", style: `background:${levelColor(level)}` });
    caption.append("span").text(`Level ${level}`);
    add(caption, "span", { class: "dw-muted" }, `${height} × ${width}`);
    marks.on("click", (event) => {
      const sampled = event.target.__data__;
      if (sampled) onSelect(sampled);
    });
    const place = ([x, y]) => [
      Math.min(Math.max(x * drawnWidth, 5 - RIM), drawnWidth + RIM - 5),
      Math.min(Math.max(y * drawnHeight, 5 - RIM), drawnHeight + RIM - 5),
    ];
    return { figure, shades, cells, marks, cross, place, cellWidth, cellHeight };
  });

  let shadedHead = null;

  function shade(head) {
    if (head === shadedHead) return;
    shadedHead = head;
    const maps = scene.spatialShapes.map((_, level) =>
      head < 0 ? combined(scene.strengthMaps.map((levels) => levels[level])) : scene.strengthMaps[head][level],
    );
    const largest = Math.max(1e-12, ...maps.map((map) => map.data.reduce((a, b) => Math.max(a, b), 0)));
    views.forEach((view, level) => {
      view.shades
        .selectAll("path")
        .data(shadePaths(maps[level], largest))
        .join("path")
        .attr("d", (path) => path)
        .attr("fill-opacity", (_, index) => (index / (SHADES - 1)) * 0.75);
    });
  }

  return {
    draw({ points, references, head, level: chosenLevel, selected }) {
      shade(head);
      const chosen = selected ? pointKey(selected) : null;
      views.forEach((view, level) => {
        view.figure.classed("spe-dim", chosenLevel >= 0 && chosenLevel !== level);
        const [x, y] = view.place(references[level]);
        view.cross.attr("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
        const drawn = view.marks.selectAll("path").data(
          points.filter((sampled) => sampled.level === level),
          pointKey,
        );
        const entered = drawn
          .enter()
          .append("path")
          .attr("class", "spe-point")
          .attr("d", (sampled) => headPath(sampled.head))
          .style("--spe-color", levelColor(level));
        drawn.exit().remove();
        drawn.merge(entered).each(function (sampled) {
          const [pointX, pointY] = view.place(sampled.location);
          const scale = markerScale(scene, sampled.weight, AVERAGE_AREA);
          this.setAttribute("transform", `translate(${pointX.toFixed(2)},${pointY.toFixed(2)})scale(${scale.toFixed(3)})`);
          const lost = sampled.share < 1e-6;
          if (this.classList.contains("spe-lost") !== lost) this.classList.toggle("spe-lost", lost);
          const isChosen = pointKey(sampled) === chosen;
          if (this.classList.contains("spe-chosen") !== isChosen) this.classList.toggle("spe-chosen", isChosen);
        });
        const outlined = selected && selected.level === level ? arithmetic(scene, selected).cells.filter((cell) => cell.place !== "outside") : [];
        view.cells
          .selectAll("rect")
          .data(outlined)
          .join("rect")
          .attr("x", (cell) => cell.column * view.cellWidth)
          .attr("y", (cell) => cell.row * view.cellHeight)
          .attr("width", view.cellWidth)
          .attr("height", view.cellHeight);
      });
    },
  };
}
