/** One picture on the canvas of its batch, with a handle at its corner. */

import { drag } from "d3-drag";
import { add, addHatching } from "../common/dom.js";
import { pixelOfCell } from "../math/padding.js";

/** The longest side that a picture may have, and the rim around it, in units of the drawing. */
const SIDE = 400;
const RIM = 22;
/** Up to so many cells each shows the pixel that it reads. */
const MOST_DOTS = 120;
const STEP = 8;
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export function createPanel(parent, { picture, index, maxSide, prefix, onResize }) {
  const unit = SIDE / maxSide;
  const hatch = `${prefix}-hatch-${index}`;
  const figure = add(parent, "figure", { class: "pde-panel" });
  const caption = add(figure, "figcaption");
  const svg = add(figure, "svg", {
    class: "pde-stage",
    viewBox: `${-RIM} ${-RIM} ${SIDE + 2 * RIM} ${SIDE + 2 * RIM}`,
    role: "group",
    "aria-label": `Picture ${index} on the canvas of the batch`,
  });
  addHatching(svg, hatch, 9);
  add(svg, "rect", { class: "pde-field", width: SIDE, height: SIDE });
  const canvas = add(svg, "rect", { class: "pde-canvas", fill: `url(#${hatch})` });
  const photo = add(svg, "image", { href: picture, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
  const masked = add(svg, "path", { class: "pde-mask", "fill-rule": "evenodd" });
  const grid = add(svg, "path", { class: "pde-grid" });
  const dots = add(svg, "path", { class: "pde-dots" });
  const frame = add(svg, "rect", { class: "pde-frame" });
  const edge = add(svg, "rect", { class: "pde-edge" });
  const handle = add(svg, "g", {
    class: "pde-handle",
    tabindex: 0,
    role: "slider",
    "aria-label": `Corner of picture ${index}: drag it, or change the size with the arrow keys`,
    "aria-valuemin": 1,
    "aria-valuemax": maxSide * maxSide,
  });
  add(handle, "circle", { class: "pde-grip", r: 26 });
  add(handle, "circle", { class: "pde-ring", r: 12 });
  add(handle, "path", { class: "pde-arrows", d: "M-5 -5L5 5M1 5H5V1M-1 -5H-5V-1" });

  let shown = [1, 1];
  handle.call(
    drag()
      .container(svg.node())
      .subject(() => ({ x: shown[1] * unit, y: shown[0] * unit }))
      .on("drag", (event) => onResize([event.y / unit, event.x / unit])),
  );
  handle.on("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const pixels = event.shiftKey ? 1 : STEP;
    onResize(shown.map((side, axis) => side + step[axis] * pixels));
  });

  const place = (rect, height, width) => rect.attr("height", height * unit).attr("width", width * unit);

  return {
    draw({ size, map, stride, color, valid }) {
      shown = size;
      const [height, width] = map.canvas;
      const [rows, columns] = map.cells;
      place(canvas, height, width);
      place(frame, height, width);
      place(photo, ...size);
      place(edge, ...size);
      caption.text(`Picture ${index}: ${size[0]} × ${size[1]}`);
      handle
        .attr("transform", `translate(${(size[1] * unit).toFixed(2)},${(size[0] * unit).toFixed(2)})`)
        .attr("aria-valuenow", size[0] * size[1])
        .attr("aria-valuetext", `height ${size[0]}, width ${size[1]}`);

      const [cellHeight, cellWidth] = [(height / rows) * unit, (width / columns) * unit];
      const whole = `M0 0H${width * unit}V${height * unit}H0Z`;
      const inside = `M0 0H${valid[1] * cellWidth}V${valid[0] * cellHeight}H0Z`;
      masked.attr("d", whole + inside).attr("data-valid", valid.join(" "));
      if (stride === 1) {
        grid.attr("d", null);
        dots.attr("d", null);
        return;
      }
      let lines = "";
      for (let row = 0; row <= rows; row += 1) lines += `M0 ${(row * cellHeight).toFixed(2)}H${width * unit}`;
      for (let column = 0; column <= columns; column += 1) {
        lines += `M${(column * cellWidth).toFixed(2)} 0V${height * unit}`;
      }
      grid.attr("d", lines).style("--pde-color", color);
      let marks = "";
      for (let cell = 0; rows * columns <= MOST_DOTS && cell < rows * columns; cell += 1) {
        const x = (pixelOfCell(cell % columns, width, columns) + 0.5) * unit;
        const y = (pixelOfCell(Math.floor(cell / columns), height, rows) + 0.5) * unit;
        marks += `M${x.toFixed(2)} ${y.toFixed(2)}h0`;
      }
      dots.attr("d", marks);
    },
  };
}
