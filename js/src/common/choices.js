/** Which heads and levels are drawn: two rows of chips, -1 for all. The style is in choices.css. */

import { headPath, headShape } from "./marks.js";
import { createChips } from "./controls.js";
import { add } from "./dom.js";
import { levelColor } from "./format.js";

const all = (what) => ({ value: -1, text: "all", label: `All ${what}` });

/** `scene` has `numHeads` and `numLevels`. */
export function createChoices(parent, { scene, prefix, onHead, onLevel }) {
  const heads = createChips(parent, {
    legend: "Head",
    name: `${prefix}-head`,
    options: [
      all("heads"),
      ...Array.from({ length: scene.numHeads }, (_, head) => ({
        value: head,
        text: head,
        label: `Head ${head}, ${headShape(head)}`,
        mark: (chip) => {
          const svg = add(chip, "svg", { viewBox: "-7 -7 14 14", class: "dw-glyph", "aria-hidden": "true" });
          add(svg, "path", { d: headPath(head), transform: "scale(9)" });
        },
      })),
    ],
    onChange: onHead,
  });
  const levels = createChips(parent, {
    legend: "Level",
    name: `${prefix}-level`,
    options: [
      all("levels"),
      ...Array.from({ length: scene.numLevels }, (_, level) => ({
        value: level,
        text: level,
        label: `Level ${level}`,
        mark: (chip) => add(chip, "span", { class: "dw-swatch", style: `background:${levelColor(level)}` }),
      })),
    ],
    onChange: onLevel,
  });
  return {
    draw({ head, level }) {
      heads.set(head);
      levels.set(level);
    },
  };
}
