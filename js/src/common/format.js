/** Numbers and colors, the same everywhere in the book. */

/** Okabe-Ito, finest level first. */
export const LEVEL_COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"];
export const levelColor = (level) => LEVEL_COLORS[level % LEVEL_COLORS.length];

/** A number with a fixed count of digits and a real minus sign. */
export const format = (number, digits = 4) => {
  const text = number.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
};

export const percent = (share) => `${format(share * 100, 1)} %`;
