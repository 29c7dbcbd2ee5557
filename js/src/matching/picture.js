/** The photograph with objects (dashed) and slots (solid, to be moved), and a line for every pair. */

import { drag } from "d3-drag";
import { add } from "../common/dom.js";
import { format } from "../common/format.js";

/** Okabe-Ito, in the order of SLOT_COLORS in detr_tutorial/plots/chapter_01.py. */
const COLORS = ["#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#009E73", "#D55E00", "#0072B2", "#999999"];
export const slotColor = (slot) => COLORS[slot % COLORS.length];

const WIDTH = 600; // as in matching_explorer.py
const BADGE = 15;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // of the photograph; five times as much with Shift

export function createPicture(parent, { scene, photo, onMove }) {
  const height = (WIDTH * scene.size[0]) / scene.size[1];
  const place = ([x, y]) => [x * WIDTH, y * height];
  const svg = add(parent, "svg", {
    class: "mx-photo",
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "group",
    "aria-label": "Photograph with objects and slots",
  });
  add(svg, "image", { href: photo, width: WIDTH, height, preserveAspectRatio: "none", "aria-hidden": "true" });
  const marked = add(svg, "g", { "aria-hidden": "true" });
  scene.objects.forEach((box, index) => {
    const [x, y] = place([box[0] - box[2] / 2, box[1] - box[3] / 2]);
    const size = { x, y, width: box[2] * WIDTH, height: box[3] * height };
    add(marked, "rect", { class: "mx-rim", ...size });
    add(marked, "rect", { class: "mx-object", ...size });
    add(marked, "text", { class: "mx-name", x: x + 7, y: y + size.height - 9 }, scene.names[index]);
  });
  const lines = add(svg, "g", { class: "mx-lines", "aria-hidden": "true" });
  let shown = scene.start;

  const slots = scene.start.map((_, slot) => {
    const group = add(svg, "g", {
      class: "mx-slot",
      tabindex: 0,
      role: "slider",
      "aria-label": `Slot ${slot}, says ${scene.says[slot]}: drag it, or move it with the arrow keys`,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "data-slot": slot,
    }).style("--mx-color", slotColor(slot));
    const rim = add(group, "rect", { class: "mx-rim" });
    const edge = add(group, "rect", { class: "mx-edge" });
    const reach = add(group, "rect", { class: "mx-reach" });
    const badge = add(group, "g", { class: "mx-badge" });
    add(badge, "circle", { r: BADGE });
    add(badge, "text", { y: 1 }, slot);
    let grabbed = [0, 0];
    group.call(
      drag()
        .container(svg.node())
        .subject(({ x, y }) => ({ x, y }))
        .on("start", ({ x, y }) => {
          const [cx, cy] = place(shown[slot]);
          grabbed = [cx - x, cy - y];
        })
        .on("drag", ({ x, y }) => onMove(slot, [(x + grabbed[0]) / WIDTH, (y + grabbed[1]) / height])),
    );
    group.on("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const step = event.shiftKey ? 5 * STEP : STEP;
      onMove(slot, [shown[slot][0] + arrow[0] * step, shown[slot][1] + arrow[1] * step]);
    });
    return { group, rects: [rim, edge, reach], badge };
  });

  return {
    draw(boxes, chosen) {
      shown = boxes;
      slots.forEach(({ group, rects, badge }, slot) => {
        const [cx, cy, w, h] = boxes[slot];
        const [x, y] = place([cx - w / 2, cy - h / 2]);
        for (const rect of rects) {
          rect.attr("x", x).attr("y", y).attr("width", w * WIDTH).attr("height", h * height);
        }
        badge.attr("transform", `translate(${place([cx, cy]).map((number) => number.toFixed(2))})`);
        const answers = chosen.flatMap((other, object) => (other === slot ? [scene.names[object]] : []));
        group
          .classed("mx-idle", answers.length === 0)
          .attr("aria-valuenow", Math.round(cx * 100))
          .attr(
            "aria-valuetext",
            `${format(cx * 100, 0)} % right, ${format(cy * 100, 0)} % down; ` +
              (answers.length ? `answers for ${answers.join(" and ")}` : "no object"),
          );
      });
      lines
        .selectAll("path")
        .data(chosen.flatMap((slot, object) => [["mx-line-rim", slot, object], ["mx-line", slot, object]]))
        .join("path")
        .attr("class", ([name]) => name)
        .attr("d", ([, slot, object]) => `M${place(boxes[slot])}L${place(scene.objects[object])}`)
        .style("--mx-color", ([, slot]) => slotColor(slot));
      lines
        .selectAll("circle")
        .data(scene.objects)
        .join("circle")
        .attr("class", "mx-center")
        .attr("r", 4)
        .attr("cx", (box) => place(box)[0])
        .attr("cy", (box) => place(box)[1]);
    },
  };
}
