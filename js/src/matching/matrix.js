/** The cost matrix as a table: a row a slot, a column an object, the chosen entries framed. */

import { add } from "../common/dom.js";
import { format } from "../common/format.js";
import { total } from "../math/assignment.js";
import { slotColor } from "./picture.js";

export function createMatrix(parent, { names, says }) {
  const table = add(parent, "table", { class: "dw-table mx-table" });
  add(table, "caption", {}, "Cost of every pair");
  const head = table.append("thead").append("tr");
  add(head, "th", { scope: "col" }, "slot, says");
  for (const name of names) add(head, "th", { scope: "col" }, name);
  const body = table.append("tbody");
  const rows = says.map((word, slot) => {
    const row = body.append("tr");
    const header = add(row, "th", { scope: "row" });
    add(header, "span", { class: "dw-swatch", style: `background:${slotColor(slot)}` });
    header.append("span").text(` ${slot} ${word}`);
    return names.map(() => {
      const cell = row.append("td");
      return { cell, number: cell.append("span"), note: add(cell, "span", { class: "dw-spoken" }) };
    });
  });
  const foot = table.append("tfoot").append("tr");
  add(foot, "th", { scope: "row" }, "sum");
  const sum = add(foot, "td", { colspan: names.length });

  return {
    draw(cost, chosen) {
      const [least, most] = [Math.min(...cost.flat()), Math.max(...cost.flat())];
      rows.forEach((row, slot) =>
        row.forEach(({ cell, number, note }, object) => {
          const isChosen = chosen[object] === slot;
          const share = most > least ? (cost[slot][object] - least) / (most - least) : 0;
          cell.classed("mx-chosen", isChosen).style("--mx-share", `${(share * 22).toFixed(1)}%`);
          number.text(format(cost[slot][object], 2));
          note.text(isChosen ? " pair" : "");
        }),
      );
      sum.text(format(total(cost, chosen), 2));
    },
  };
}
