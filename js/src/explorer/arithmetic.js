/** One number in full: four cells, their weights, what they hold, and what the point adds to its head. */

import { isInside } from "../math/bilinear.js";
import { add, addHatching } from "../common/dom.js";
import { format, levelColor } from "../common/format.js";
import { headPath, headShape } from "../common/marks.js";
import { arithmetic, headOutput } from "./points.js";

const CELL = 44;
const NAMES = ["a", "b", "c", "d"];

export function createArithmetic(parent, { scene, prefix }) {
  const section = add(parent, "section", { class: "spe-arithmetic", "aria-label": "Arithmetic of one sampling point" });
  const title = add(section, "p", { class: "spe-title" });
  const titleMark = add(
    add(title, "svg", { viewBox: "-9 -9 18 18", class: "spe-glyph", "aria-hidden": "true" }),
    "path",
    { class: "spe-point", transform: "scale(12)" },
  );
  const titleText = add(title, "strong");
  const where = add(section, "p", { class: "spe-where" });

  const zoom = add(section, "svg", {
    class: "spe-zoom",
    viewBox: `0 0 ${4 * CELL} ${4 * CELL}`,
    role: "img",
    "aria-label": "The point among its four neighbors. A square of one cell around the point covers each neighbor by its bilinear weight.",
  });
  const hatch = `${prefix}-zoom-hatch`;
  addHatching(zoom, hatch, 7);
  const zoomCells = add(zoom, "g");
  const window_ = add(zoom, "rect", { class: "spe-window", width: CELL, height: CELL });
  const zoomNames = add(zoom, "g", { class: "spe-zoom-names" });
  const zoomPoint = add(zoom, "path", { class: "spe-point" });

  const table = add(section, "table", { class: "dw-table" });
  add(table, "caption", {}, `Channel ${scene.channel} of the head's value`);
  const head = table.append("thead").append("tr");
  for (const label of ["cell (row, column)", "bilinear weight", "value", "product"]) {
    add(head, "th", { scope: "col" }, label);
  }
  const body = table.append("tbody");
  const rows = NAMES.map((name) => {
    const row = add(body, "tr");
    const label = add(row, "th", { scope: "row" });
    add(label, "b", {}, name);
    return {
      row,
      place: label.append("span"),
      weight: row.append("td"),
      value: row.append("td"),
      product: row.append("td"),
    };
  });
  const foot = table.append("tfoot");
  const footRow = (label, id) => {
    const row = add(foot, "tr");
    add(row, "th", { scope: "row", colspan: 3 }, label);
    return add(row, "td", { "data-number": id });
  };
  const sampleCell = footRow("sum: what the point reads", "sample");
  const weightCell = footRow("× attention weight", "weight");
  const contributionCell = footRow("= what it adds to the head", "contribution");
  const total = add(section, "p", { class: "spe-total" });

  return {
    draw({ allPoints, references, selected }) {
      section.attr("hidden", selected ? null : "");
      if (!selected) return;
      const { head: m, level, point, offset, location, pixel, weight } = selected;
      const [height, width] = scene.spatialShapes[level];
      titleMark.attr("d", headPath(m)).style("--spe-color", levelColor(level));
      titleText.text(`Head ${m} (${headShape(m)}), level ${level}, point ${point}`);
      const [x, y] = references[level];
      where.text(
        `Reference (${format(x, 3)}, ${format(y, 3)}) + offset (${format(offset[0], 2)}, ${format(offset[1], 2)}) ` +
          `÷ (${width}, ${height}) = (${format(location[0], 3)}, ${format(location[1], 3)}). ` +
          `Times (${width}, ${height}) − 0.5: column ${format(pixel[0], 2)}, row ${format(pixel[1], 2)}.`,
      );

      const result = arithmetic(scene, selected);
      result.cells.forEach((cell, index) => {
        const row = rows[index];
        row.row.classed("spe-zero", cell.place !== "inside");
        row.place.text(`(${format(cell.row, 0)}, ${format(cell.column, 0)})`);
        row.weight.text(format(cell.weight));
        row.value.text(cell.place === "inside" ? format(cell.value) : `${cell.place}: 0`);
        row.product.text(format(cell.product));
      });
      sampleCell.text(format(result.sample));
      weightCell.text(format(weight));
      contributionCell.text(format(result.contribution));
      total.text(
        `All ${scene.numLevels * scene.numPoints} points of head ${m} add up to ` +
          `${format(headOutput(scene, allPoints, m))}: channel ${scene.channel} of its output, before the output projection.`,
      );
      total.attr("data-total", headOutput(scene, allPoints, m));

      const map = scene.valueMaps[m][level];
      const first = { column: Math.floor(pixel[0]) - 1, row: Math.floor(pixel[1]) - 1 };
      const left = (column) => (column - first.column) * CELL;
      const top = (row) => (row - first.row) * CELL;
      const largest = map.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
      const cells = [];
      for (let row = first.row; row < first.row + 4; row += 1) {
        for (let column = first.column; column < first.column + 4; column += 1) cells.push({ row, column });
      }
      const holds = (cell) => isInside(cell, { width: map.validWidth, height: map.validHeight });
      zoomCells
        .selectAll("rect")
        .data(cells)
        .join("rect")
        .attr("class", (cell) => (holds(cell) ? "spe-zoom-cell" : isInside(cell, map) ? "spe-zoom-padding" : "spe-zoom-outside"))
        .attr("fill", (cell) => (isInside(cell, map) && !holds(cell) ? `url(#${hatch})` : null))
        .attr("fill-opacity", (cell) =>
          holds(cell) ? (Math.abs(map.data[cell.row * map.width + cell.column]) / largest) * 0.6 : null,
        )
        .attr("x", (cell) => left(cell.column))
        .attr("y", (cell) => top(cell.row))
        .attr("width", CELL)
        .attr("height", CELL);
      const center = [left(pixel[0] + 0.5), top(pixel[1] + 0.5)];
      window_
        .attr("x", center[0] - CELL / 2)
        .attr("y", center[1] - CELL / 2)
        .style("fill", levelColor(level));
      zoomPoint
        .attr("d", headPath(m))
        .style("--spe-color", levelColor(level))
        .attr("transform", `translate(${center})scale(11)`);
      zoomNames
        .selectAll("text")
        .data(result.cells)
        .join("text")
        .attr("x", (cell) => left(cell.column + (cell.column > pixel[0] ? 0.82 : 0.18)))
        .attr("y", (cell) => top(cell.row + (cell.row > pixel[1] ? 0.82 : 0.18)))
        .text((_, index) => NAMES[index]);
    },
  };
}
