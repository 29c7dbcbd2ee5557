/** The two boxes over the chosen loss, with handles to move and resize them, and arrows downhill. */

import { drag } from "d3-drag";
import { add } from "../common/dom.js";
import { format } from "../common/format.js";
import { amountColor } from "../common/ramp.js";
import { landscape } from "../math/box_losses.js";

export const SIDE = 600; // of the drawing, as in widgets/box_loss_explorer.py
const CELLS = 48;
const [HANDLE, LONGEST] = [15, 130];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // five times as much with Shift

/** The length of an arrow: longer for a steeper slope, and never longer than LONGEST. */
const lengthOf = (slope) => (LONGEST * slope) / (slope + 2.5);

/** An arrow from a point along (dx, dy), as a path; empty when there is nothing to show. */
function arrow(x, y, dx, dy) {
  const slope = Math.hypot(dx, dy);
  if (slope < 1e-9) return "";
  const length = Math.max(lengthOf(slope), 14);
  const [ux, uy] = [dx / slope, dy / slope];
  const [endX, endY] = [x + ux * length, y + uy * length];
  const wing = (side) => `${(endX - 13 * ux + side * 8 * uy).toFixed(1)} ${(endY - 13 * uy - side * 8 * ux).toFixed(1)}`;
  const end = `${endX.toFixed(1)} ${endY.toFixed(1)}`;
  return `M${x.toFixed(1)} ${y.toFixed(1)}L${end}M${wing(1)}L${end}L${wing(-1)}`;
}

/** `onMove(name, box)` is called with name "box" or "other". */
export function createPicture(parent, { hatch, onMove }) {
  const canvas = add(parent, "canvas", { width: CELLS, height: CELLS, class: "bx-map", "aria-hidden": "true" });
  const context = canvas.node().getContext("2d");
  const pixels = context.createImageData(CELLS, CELLS);
  const svg = add(parent, "svg", {
    class: "bx-photo",
    viewBox: `0 0 ${SIDE} ${SIDE}`,
    role: "group",
    "aria-label": "Prediction and object over the chosen loss",
  });
  const pattern = add(svg.append("defs"), "pattern", {
    id: hatch,
    width: 14,
    height: 14,
    patternUnits: "userSpaceOnUse",
    patternTransform: "rotate(45)",
  });
  add(pattern, "path", { d: "M0 0V14M0 7H14", class: "bx-hatch" });
  const flat = add(svg, "path", { class: "bx-flat", fill: `url(#${hatch})`, "aria-hidden": "true" });
  let shown = {};

  const parts = ["other", "box"].map((name) => {
    const word = name === "box" ? "Prediction" : "Object";
    const corner = name === "box" ? 1 : -1; // which corner has the handle: the two may lie on each other
    const group = add(svg, "g", { class: `bx-${name}` });
    const rects = ["bx-rim", "bx-edge"].map((kind) => add(group, "rect", { class: kind, "aria-hidden": "true" }));
    const arrows = name === "box" ? ["bx-arrow-rim", "bx-arrow"].map((kind) => add(group, "path", { class: kind })) : [];
    for (const path of arrows) path.attr("aria-hidden", "true");
    const act = {
      move: ([cx, cy, w, h], x, y) => [x, y, w, h],
      size: ([cx, cy], x, y) => [cx, cy, 2 * corner * (x - cx), 2 * corner * (y - cy)],
    };
    const grips = ["move", "size"].map((kind) => {
      const label = kind === "move" ? `${word}: drag it` : `Size of the ${word.toLowerCase()}: drag its corner`;
      const grip = add(group, "g", {
        class: "bx-grip",
        tabindex: 0,
        role: "slider",
        "aria-label": `${label}, or use the arrow keys`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "data-grip": `${name}-${kind}`,
      });
      if (kind === "move") {
        add(grip, "circle", { r: HANDLE });
        add(grip, "text", { y: 1 }, word[0]);
      } else {
        add(grip, "rect", { x: -11, y: -11, width: 22, height: 22, rx: 4 });
      }
      const at = ([cx, cy, w, h]) => (kind === "move" ? [cx, cy] : [cx + (corner * w) / 2, cy + (corner * h) / 2]);
      let grabbed = [0, 0];
      grip.call(
        drag()
          .container(svg.node())
          .subject(({ x, y }) => ({ x, y }))
          .on("start", ({ x, y }) => {
            const [px, py] = at(shown[name]);
            grabbed = [px - x / SIDE, py - y / SIDE];
          })
          .on("drag", ({ x, y }) => onMove(name, act[kind](shown[name], x / SIDE + grabbed[0], y / SIDE + grabbed[1]))),
      );
      grip.on("keydown", (event) => {
        const key = ARROWS[event.key];
        if (!key || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        const reach = event.shiftKey ? 5 * STEP : STEP;
        const [cx, cy, w, h] = shown[name];
        const moved = [key[0] * reach, key[1] * reach];
        onMove(name, kind === "move" ? [cx + moved[0], cy + moved[1], w, h] : [cx, cy, w + moved[0], h + moved[1]]);
      });
      return { kind, grip, at };
    });
    return { name, rects, arrows, grips };
  });

  function drawMap(loss) {
    const map = landscape(loss, shown.box, shown.other, CELLS);
    const values = map.flatMap((row) => row.map(({ value }) => value));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    let squares = "";
    const cell = SIDE / CELLS;
    map.forEach((row, r) => {
      let run = 0;
      row.forEach(({ value, flat: isFlat }, c) => {
        const place = 4 * (r * CELLS + c);
        const color = amountColor((value - least) / (most - least || 1)).match(/\d+/g);
        [0, 1, 2].forEach((channel) => (pixels.data[place + channel] = Number(color[channel])));
        pixels.data[place + 3] = 255;
        run = isFlat ? run + 1 : 0;
        const ends = run && (c === CELLS - 1 || !row[c + 1].flat);
        if (ends) squares += `M${(c + 1 - run) * cell} ${r * cell}h${run * cell}v${cell}h${-run * cell}z`;
      });
    });
    context.putImageData(pixels, 0, 0);
    flat.attr("d", squares);
    return [least, most];
  }

  return {
    /** Returns the least and the largest loss of the map. */
    draw(box, other, loss, slopes) {
      shown = { box, other };
      for (const { name, rects, arrows, grips } of parts) {
        const [cx, cy, w, h] = shown[name].map((number) => number * SIDE);
        for (const rect of rects) {
          rect.attr("x", cx - w / 2).attr("y", cy - h / 2).attr("width", w).attr("height", h);
        }
        const text = shown[name].map((number) => format(number, 2));
        for (const { kind, grip, at } of grips) {
          const [x, y] = at(shown[name]);
          grip
            .attr("transform", `translate(${(x * SIDE).toFixed(2)},${(y * SIDE).toFixed(2)})`)
            .attr("aria-valuenow", Math.round(100 * shown[name][kind === "move" ? 0 : 2]))
            .attr(
              "aria-valuetext",
              kind === "move" ? `center x ${text[0]}, y ${text[1]}` : `width ${text[2]}, height ${text[3]}`,
            );
        }
        const [dx, dy, dw, dh] = slopes.map((slope) => (Math.abs(slope) < 1e-9 ? 0 : -slope));
        const path =
          arrow(cx, cy, dx, dy) +
          arrow(cx + w / 2, cy, dw, 0) +
          arrow(cx - w / 2, cy, -dw, 0) +
          arrow(cx, cy + h / 2, 0, dh) +
          arrow(cx, cy - h / 2, 0, -dh);
        for (const line of arrows) line.attr("d", path);
      }
      return drawMap(loss);
    },
  };
}
