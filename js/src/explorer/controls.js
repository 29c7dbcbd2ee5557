/** The sliders that bend the attention of the chosen head. */

import { add } from "../common/dom.js";
import { createSlider } from "../common/controls.js";
import { format } from "../common/format.js";
import { STRAIGHT } from "../math/bend.js";

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
    const slider = createSlider(group, {
      id: `${prefix}-${name}`,
      label,
      min,
      max,
      step,
      onInput: (value) => onBend({ [name]: value }),
    });
    slider.input.attr("data-bend", name);
    let select = null;
    if (name === "boost") {
      select = add(slider.row, "select", { "aria-label": "Level whose logits change" });
      for (let level = 0; level < scene.numLevels; level += 1) {
        add(select, "option", { value: level }, `level ${level}`);
      }
      select.on("change", () => onBend({ boostLevel: Number(select.property("value")) }));
    }
    return { name, show, slider, select };
  });
  const note = add(group, "p", { class: "dw-muted spe-note" });
  add(group, "button", { type: "button", class: "dw-button" }, "Reset").on("click", onReset);

  return {
    draw({ head, bends }) {
      const bent = head < 0 ? bends : [bends[head]];
      legend.text(head < 0 ? "Bend all heads" : `Bend head ${head}`);
      for (const { name, show, slider, select } of sliders) {
        const value = bent[0][name];
        const mixed = bent.some((bend) => bend[name] !== value);
        if (mixed) slider.set(value, "mixed", "differs between heads");
        else slider.set(value, show(value));
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
