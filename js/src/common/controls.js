/** Controls that widgets share: a row of radio buttons that look like chips, and a slider with its value. */

import { add } from "./dom.js";

/**
 * A row of radio buttons.
 *
 * `options` are `{ value, text, label, mark }`: what is shown, what screen readers say (`text` when missing),
 * and a function that draws something before the text (optional). `set(value)` shows which one is chosen.
 */
export function createChips(parent, { legend, name, options, onChange }) {
  const group = add(parent, "fieldset", { class: "dw-chips" });
  add(group, "legend", {}, legend);
  const inputs = options.map(({ value, text, label = text, mark }) => {
    const chip = add(group, "label", { class: "dw-chip" });
    const input = add(chip, "input", { type: "radio", name, value, "aria-label": label });
    input.on("change", () => onChange(value));
    mark?.(chip);
    add(chip, "span", { "aria-hidden": "true" }, text);
    return input;
  });
  return {
    set: (value) => inputs.forEach((input, index) => input.property("checked", options[index].value === value)),
  };
}

/**
 * A slider with its value as text. `set(value, text)` moves it; `text` is what is shown and read out.
 * `row` is the element around it and `input` the slider, for whatever a widget adds.
 */
export function createSlider(parent, { id, label, min, max, step, onInput }) {
  const row = add(parent, "div", { class: "dw-slider" });
  add(row, "label", { for: id }, label);
  const output = add(row, "span", { class: "dw-slider-value", "aria-hidden": "true" }); // in aria-valuetext
  const input = add(row, "input", { id, type: "range", min, max, step });
  input.on("input", () => onInput(Number(input.property("value"))));
  return {
    row,
    input,
    set(value, text, spoken = text) {
      input.property("value", value).attr("aria-valuetext", spoken);
      output.text(text);
    },
  };
}
