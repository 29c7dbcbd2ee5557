/** Small helpers over d3-selection. */

import { select } from "d3-selection";

/** Append an element with attributes (and text), and return its selection. */
export function add(parent, name, attributes = {}, text = undefined) {
  const child = parent.append(name);
  for (const [key, value] of Object.entries(attributes)) child.attr(key, value);
  if (text !== undefined) child.text(text);
  return child;
}

let mounted = 0;

/** A prefix for ids and radio groups, different for every widget on the page; the root takes it as its id. */
export function uniquePrefix() {
  do mounted += 1;
  while (document.getElementById(`dw-${mounted}`));
  return `dw-${mounted}`;
}

/** Hatching for cells that hold no value. */
export function addHatching(svg, id, step = 6) {
  const pattern = add(svg.append("defs"), "pattern", {
    id,
    width: step,
    height: step,
    patternUnits: "userSpaceOnUse",
    patternTransform: "rotate(45)",
  });
  add(pattern, "rect", { width: step, height: step, class: "dw-hatch-ground" });
  add(pattern, "line", { y2: step, class: "dw-hatch-line", "stroke-width": step / 3 });
}

export { select };
