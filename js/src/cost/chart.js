/** Two lines on two logarithmic axes over the side of the image, and a rule at the chosen side. */

import { pointer } from "d3-selection";
import { add } from "../common/dom.js";

/** As in widgets/cost_explorer.py. */
export const CHART = { width: 340, height: 250, left: 48, right: 18, top: 10, bottom: 34 };
export const SIDES = [128, 2048];
const TICKS = [128, 256, 512, 1024, 2048];
const SAMPLES = 49;

const scale = ([low, high], [from, to]) => {
  const [start, stretch] = [Math.log(low), (to - from) / Math.log(high / low)];
  return (value) => from + (Math.log(Math.min(Math.max(value, low), high)) - start) * stretch;
};

/** Sides at which lines are drawn, evenly on the logarithmic axis. */
export const sampledSides = () =>
  Array.from({ length: SAMPLES }, (_, i) => Math.round(SIDES[0] * (SIDES[1] / SIDES[0]) ** (i / (SAMPLES - 1))));

export function createChart(parent, { title, domain, ticks, textOf, onSide }) {
  const { width, height, left, right, top, bottom } = CHART;
  const x = scale(SIDES, [left, width - right]);
  const y = scale(domain, [height - bottom, top]);
  const figure = add(parent, "figure", { class: "ce-panel" });
  add(figure, "figcaption", {}, title);
  const svg = add(figure, "svg", { class: "ce-chart", viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const side of TICKS) {
    add(svg, "path", { class: "ce-grid", d: `M${x(side)} ${top}V${height - bottom}` });
    add(svg, "text", { class: "ce-tick", x: x(side), y: height - bottom + 15, "text-anchor": "middle" }, side);
  }
  for (const [value, text] of ticks) {
    add(svg, "path", { class: "ce-grid", d: `M${left} ${y(value)}H${width - right}` });
    add(svg, "text", { class: "ce-tick", x: left - 5, y: y(value) + 4, "text-anchor": "end" }, text);
  }
  add(svg, "text", { class: "ce-tick", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "shorter side, pixels");
  const rule = add(svg, "path", { class: "ce-rule" });
  const kinds = ["dense", "deformable"].map((kind) => ({
    kind,
    line: add(svg, "path", { class: `ce-line ce-${kind}` }),
    mark:
      kind === "dense"
        ? add(svg, "rect", { class: `ce-mark ce-${kind}`, x: -5, y: -5, width: 10, height: 10 })
        : add(svg, "circle", { class: `ce-mark ce-${kind}`, r: 5.5 }),
    text: add(svg, "text", { class: "ce-value" }),
  }));
  svg.on("click", (event) => {
    const share = (pointer(event, svg.node())[0] - left) / (width - right - left);
    onSide(SIDES[0] * (SIDES[1] / SIDES[0]) ** share);
  });

  return {
    /** `lines` and `values` by kind: what is drawn, and what holds at `side`. */
    draw({ side, sides, lines, values, label }) {
      svg.attr("aria-label", label);
      rule.attr("d", `M${x(side)} ${top}V${height - bottom}`);
      const places = kinds.map(({ kind }) => y(values[kind]));
      kinds.forEach(({ kind, line, mark, text }, index) => {
        const d = sides.map((at, i) => `${x(at).toFixed(1)} ${y(lines[kind][i]).toFixed(1)}`).join("L");
        line.attr("d", `M${d}`);
        mark.attr("transform", `translate(${x(side)},${places[index]})`);
        // Lines rise: above them there is room on the left, below them on the right.
        const upper = places[index] < places[1 - index] || (places[0] === places[1] && index === 0);
        const toTheLeft = upper ? x(side) > left + 75 : x(side) > width - right - 65;
        text
          .text(textOf(values[kind]))
          .attr("x", x(side) + (toTheLeft ? -9 : 9))
          .attr("y", Math.max(places[index] + (upper ? -7 : 18), top + 10))
          .attr("text-anchor", toTheLeft ? "end" : "start");
      });
    },
  };
}
