/** The picture, whole or enlarged, with boxes, the reference of a query and its sampling points. */

import { add } from "../common/dom.js";
import { levelColor } from "../common/format.js";
import { headPath } from "../common/marks.js";

export const SIDE = 400; // as in trained_points_explorer.py
export const RIM = 20; // where points outside of the picture are still seen
const INSET = 7; // points further out are drawn this far inside of its edge
const AREA = 900; // of a marker with the whole weight of its head
const SMALLEST_AREA = 6;

/** `size` is (height, width) of the picture in pixels; without a rim the panel is a square window on it. */
export function createPanel(parent, { size, photo, rim }) {
  const longest = Math.max(...size);
  const [height, width] = rim ? size.map((side) => (side * SIDE) / longest) : [SIDE, SIDE];
  const svg = add(parent, "svg", {
    class: "tpx-panel",
    viewBox: `${-rim} ${-rim} ${width + 2 * rim} ${height + 2 * rim}`,
  });
  add(svg, "rect", { class: "dw-hatch-ground", x: -rim, y: -rim, width: width + 2 * rim, height: height + 2 * rim });
  const image = add(svg, "image", { href: photo, preserveAspectRatio: "none", "aria-hidden": "true" });
  const layers = Object.fromEntries(["boxes", "points", "reference"].map((name) => [name, add(svg, "g", { "aria-hidden": "true" })]));
  for (const name of ["rim", "start"]) add(layers.reference, "rect", { class: `tpx-${name}` });
  const cross = add(layers.reference, "g", { class: "tpx-cross" });
  for (const name of ["rim", "core"]) add(cross, "path", { class: `tpx-cross-${name}`, d: "M-10 0H10M0 -10V10" });
  const starts = layers.reference.selectAll("rect");

  return {
    svg,
    /** From a place in the drawing to a point of the picture, in [0, 1]. */
    toPicture: ([x, y]) => [x / width, y / height],
    /** Draw, and return where the reference is in the drawing. */
    draw({ points, reference, boxes, chosen, window }) {
      const [x0, y0, side] = window ?? [0, 0, 1];
      const [tall, wide] = size.map((pixels) => ((pixels / longest) * SIDE) / side);
      const place = ([x, y]) => [x * wide - (x0 * SIDE) / side, y * tall - (y0 * SIDE) / side];
      const kept = ([x, y]) =>
        rim
          ? [Math.min(Math.max(x, INSET - rim), width + rim - INSET), Math.min(Math.max(y, INSET - rim), height + rim - INSET)]
          : [x, y];
      const shift = ([x, y]) => `translate(${x.toFixed(1)}px,${y.toFixed(1)}px)`;
      const [left, top] = place([0, 0]);
      image.attr("x", left).attr("y", top).attr("width", wide).attr("height", tall);

      const setBox = (node, [cx, cy, w, h]) => {
        const [x, y] = place([cx - w / 2, cy - h / 2]);
        const sides = { x, y, width: w * wide, height: h * tall };
        for (const [name, value] of Object.entries(sides)) node.style.setProperty(name, `${value.toFixed(1)}px`);
      };
      layers.boxes
        .selectAll("rect")
        .data(boxes.flatMap((box, index) => ["rim", "box"].map((name) => ({ name, box, index }))))
        .join("rect")
        .attr("class", ({ name, index }) => `tpx-${name}${index === chosen ? " tpx-chosen" : ""}`)
        .each(function ({ box }) {
          setBox(this, box);
        });

      starts.attr("display", reference.length === 4 ? null : "none");
      if (reference.length === 4) {
        starts.each(function () {
          setBox(this, reference);
        });
      }
      cross.style("transform", shift(place(reference)));
      layers.points
        .selectAll("path")
        .data(points, ({ index }) => index)
        .join((entered) =>
          entered
            .append("path")
            .attr("class", "tpx-point")
            .attr("d", ({ head }) => headPath(head))
            .style("--tpx-color", ({ level }) => levelColor(level)),
        )
        .classed("tpx-lost", ({ lost }) => lost)
        .style("transform", ({ location, weight }) => {
          const scale = Math.sqrt(Math.max(weight * AREA, SMALLEST_AREA));
          return `${shift(kept(place(location)))} scale(${scale.toFixed(2)})`;
        });
      return place(reference);
    },
  };
}
