/** Which heads and levels are drawn, and the sliders that bend the attention of the chosen head. */

import { add } from "./dom.js";
import { format, headPath, headShape, levelColor } from "./marks.js";
import { STRAIGHT } from "../math/bend.js";

/** A row of radio buttons: -1 for all, then one for each. */
function createChips(parent, { legend, count, name, label, mark, onChange }) {
  const group = add(parent, "fieldset", { class: "spe-chips" });
  add(group, "legend", {}, legend);
  const inputs = [];
  for (let index = -1; index < count; index += 1) {
    const chip = add(group, "label", { class: "spe-chip" });
    inputs.push(
      add(chip, "input", { type: "radio", name, value: index, "aria-label": label(index) }).on("change", () =>
        onChange(index),
      ),
    );
    if (index >= 0) mark(chip, index);
    add(chip, "span", { "aria-hidden": "true" }, index < 0 ? "all" : index);
  }
  return {
    set: (value) => inputs.forEach((input, index) => input.property("checked", index - 1 === value)),
  };
}

export function createChoices(parent, { scene, prefix, onHead, onLevel }) {
  const row = add(parent, "div", { class: "spe-choices" });
  const heads = createChips(row, {
    legend: "Head",
    count: scene.numHeads,
    name: `${prefix}-head`,
    label: (head) => (head < 0 ? "All heads" : `Head ${head}, ${headShape(head)}`),
    mark: (chip, head) => {
      const svg = add(chip, "svg", { viewBox: "-7 -7 14 14", class: "spe-glyph", "aria-hidden": "true" });
      add(svg, "path", { d: headPath(head), transform: "scale(9)", class: "spe-glyph-mark" });
    },
    onChange: onHead,
  });
  const levels = createChips(row, {
    legend: "Level",
    count: scene.numLevels,
    name: `${prefix}-level`,
    label: (level) => (level < 0 ? "All levels" : `Level ${level}`),
    mark: (chip, level) => add(chip, "span", { class: "spe-swatch", style: `background:${levelColor(level)}` }),
    onChange: onLevel,
  });
  return {
    draw({ head, level }) {
      heads.set(head);
      levels.set(level);
    },
  };
}

const SLIDERS = [
  { name: "scale", label: "Scale offsets", min: 0, max: 3, step: 0.05, show: (value) => `× ${format(value, 2)}` },
  { name: "rotation", label: "Rotate offsets", min: -180, max: 180, step: 5, show: (value) => `${format(value, 0)}°` },
  { name: "temperature", label: "Temperature of the softmax", min: 0.1, max: 5, step: 0.1, show: (value) => format(value, 1) },
  { name: "boost", label: "Add to the logits of a level", min: -4, max: 4, step: 0.25, show: (value) => format(value, 2) },
];

export function createBending(parent, { scene, prefix, onBend, onReset }) {
  const group = add(parent, "fieldset", { class: "spe-bending" });
  const legend = add(group, "legend");
  const sliders = SLIDERS.map(({ name, label, min, max, step, show }) => {
    const row = add(group, "div", { class: "spe-slider" });
    const id = `${prefix}-${name}`;
    add(row, "label", { for: id }, label);
    const output = add(row, "span", { class: "spe-slider-value", "aria-hidden": "true" }); // in the slider's aria-valuetext
    const input = add(row, "input", { id, type: "range", min, max, step, "data-bend": name });
    input.on("input", () => onBend({ [name]: Number(input.property("value")) }));
    let select = null;
    if (name === "boost") {
      select = add(row, "select", { "aria-label": "Level whose logits change" });
      for (let level = 0; level < scene.numLevels; level += 1) {
        add(select, "option", { value: level }, `level ${level}`);
      }
      select.on("change", () => onBend({ boostLevel: Number(select.property("value")) }));
    }
    return { name, show, input, output, select };
  });
  const note = add(group, "p", { class: "spe-muted spe-note" });
  add(group, "button", { type: "button", class: "spe-reset" }, "Reset").on("click", onReset);

  return {
    draw({ head, bends }) {
      const bent = head < 0 ? bends : [bends[head]];
      legend.text(head < 0 ? "Bend all heads" : `Bend head ${head}`);
      for (const { name, show, input, output, select } of sliders) {
        const value = bent[0][name];
        const mixed = bent.some((bend) => bend[name] !== value);
        input.property("value", value).attr("aria-valuetext", mixed ? "differs between heads" : show(value));
        output.text(mixed ? "mixed" : show(value));
        if (select) select.property("value", bent[0].boostLevel);
      }
      const changed = bends.flatMap((bend, index) =>
        Object.keys(STRAIGHT).some((name) => name !== "boostLevel" && bend[name] !== STRAIGHT[name]) ? [index] : [],
      );
      note.text(
        changed.length === 0
          ? "As the attention computed it."
          : changed.length === bends.length
            ? "Bent: all heads."
            : `Bent: head${changed.length > 1 ? "s" : ""} ${changed.join(", ")}.`,
      );
    },
  };
}
