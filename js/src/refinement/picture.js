/** The picture with the boxes of all queries, and its enlarged part around one query with its sampling points. */

import { add } from "../common/dom.js";
import { levelColor } from "../common/format.js";
import { headPath } from "../common/marks.js";

const SIDE = 400; // as in refinement_explorer.py
const AREA = 1500; // of a marker with the whole weight of its head
const SMALLEST_AREA = 7;

/** A box [cx, cy, w, h] as attributes of a rect; `place` takes fractions of the picture to the drawing. */
function setBox(rect, [cx, cy, w, h], place) {
  const [left, top] = place([cx - w / 2, cy - h / 2]);
  const [right, bottom] = place([cx + w / 2, cy + h / 2]);
  // as style, so that a change can be animated
  rect
    .style("x", `${left}px`)
    .style("y", `${top}px`)
    .style("width", `${right - left}px`)
    .style("height", `${bottom - top}px`);
}

export function createPhoto(parent, { scene, photo, onQuery }) {
  const [height, width] = scene.size.map((side) => (side * SIDE) / Math.max(...scene.size));
  const place = ([x, y]) => [x * width, y * height];
  const svg = add(parent, "svg", {
    class: "rx-photo",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "Picture with objects, white, and the boxes of queries, yellow",
  });
  add(svg, "image", { href: photo, width, height, preserveAspectRatio: "none" });
  for (const box of scene.objects) {
    for (const name of ["rx-rim", "rx-object"]) setBox(add(svg, "rect", { class: name }), box, place);
  }
  const queries = scene.names.map((_, query) => {
    const rim = add(svg, "rect", { class: "rx-rim rx-moves" });
    const edge = add(svg, "rect", { class: "rx-box rx-moves" });
    const reach = add(svg, "rect", { class: "rx-reach", "data-query": query }).on("click", () => onQuery(query));
    return { rim, edge, reach };
  });
  return {
    draw(boxes, chosen) {
      queries.forEach(({ rim, edge, reach }, query) => {
        for (const rect of [rim, edge, reach]) setBox(rect, boxes[query], place);
        edge.classed("rx-chosen", query === chosen);
      });
    },
  };
}

export function createZoom(parent, { scene, photo }) {
  const longest = Math.max(...scene.size);
  const [height, width] = scene.size.map((side) => side / longest);
  const svg = add(parent, "svg", { class: "rx-zoom", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img" });
  add(svg, "rect", { class: "dw-hatch-ground", width: SIDE, height: SIDE });
  const image = add(svg, "image", { href: photo, preserveAspectRatio: "none" });
  const objects = add(svg, "g");
  const trail = add(svg, "g");
  const rim = add(svg, "rect", { class: "rx-rim rx-moves" });
  const edge = add(svg, "rect", { class: "rx-box rx-chosen rx-moves" });
  const marks = add(svg, "g");

  return {
    draw({ run, query, layer }, label) {
      const [x0, y0, side] = scene.windows[query];
      const unit = SIDE / side;
      const place = ([x, y]) => [(x * width - x0) * unit, (y * height - y0) * unit];
      const [left, top] = place([0, 0]);
      image.attr("x", left).attr("y", top).attr("width", width * unit).attr("height", height * unit);
      objects
        .selectAll("rect")
        .data(scene.objects.flatMap((box) => [["rx-rim", box], ["rx-object", box]]))
        .join("rect")
        .attr("class", ([name]) => name)
        .each(([, box], index, nodes) => setBox(selectOne(nodes[index]), box, place));
      trail
        .selectAll("rect")
        .data(run.boxes.slice(0, layer).flatMap((step) => [["rx-trail-rim", step[query]], ["rx-trail", step[query]]]))
        .join("rect")
        .attr("class", ([name]) => name)
        .each(([, box], index, nodes) => setBox(selectOne(nodes[index]), box, place));
      for (const rect of [rim, edge]) setBox(rect, run.boxes[layer][query], place);
      const points = layer < run.numLayers ? run.points(layer, query) : [];
      marks
        .selectAll("path")
        .data(points)
        .join("path")
        .attr("class", "rx-point rx-moves")
        .attr("d", ({ head }) => headPath(head))
        .attr("fill", ({ level }) => levelColor(level))
        .style("transform", ({ location, weight }) => {
          const [x, y] = place(location);
          const scale = Math.sqrt(Math.max(weight * AREA, SMALLEST_AREA));
          return `translate(${x.toFixed(1)}px,${y.toFixed(1)}px) scale(${scale.toFixed(2)})`;
        });
      svg.attr("aria-label", label);
    },
  };
}

/** The few methods of a d3 selection that `setBox` needs, for a bare element. */
function selectOne(element) {
  return {
    style(name, value) {
      element.style.setProperty(name, value);
      return this;
    },
  };
}
