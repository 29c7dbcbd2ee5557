/** What every picture gets: padding, cells that are left, and the valid ratios. */

import { add } from "../common/dom.js";
import { format } from "../common/format.js";

const COLUMNS = ["picture", "sets", "right", "below", "valid cells", "ratio x", "ratio y"];

export function createTable(parent, count) {
  const table = add(parent, "table", { class: "dw-table pde-table" });
  add(table, "caption", {}, "Padding in pixels, and what the mask leaves");
  const head = add(add(table, "thead"), "tr");
  for (const column of COLUMNS) add(head, "th", { scope: "col" }, column);
  const body = add(table, "tbody");
  const rows = Array.from({ length: count }, (_, index) => {
    const row = add(body, "tr");
    add(row, "th", { scope: "row" }, index);
    return COLUMNS.slice(1).map((column) => add(row, "td", { "data-column": column }));
  });

  return {
    draw({ sizes, map }) {
      sizes.forEach((size, index) => {
        const { valid, ratios } = map.pictures[index];
        const sets = ["height", "width"].filter((_, axis) => size[axis] === map.canvas[axis]);
        const texts = [
          sets.length === 2 ? "both" : (sets[0] ?? "–"),
          map.canvas[1] - size[1],
          map.canvas[0] - size[0],
          `${valid[0]} × ${valid[1]}`,
          format(ratios[0], 3),
          format(ratios[1], 3),
        ];
        rows[index].forEach((cell, column) => cell.text(texts[column]));
      });
    },
  };
}
