/** The sine encoding of a map without padding: y first, then x; sine and cosine of a pair in turns. */

const EPSILON = 1e-6;

/** Fractions of the picture, times 2 pi: the center of cell `index` of `count`. */
export const angleOf = (index, count) => ((index + 0.5) / (count + EPSILON)) * 2 * Math.PI;

/** By how much the hand of a pair is slower than the first one; also its wavelength in pictures. */
export const slower = (pair, features, temperature) => temperature ** ((2 * pair) / features);

/** The numbers of one angle: `features` of them. */
export function waves(angle, features, temperature) {
  const numbers = new Float64Array(features);
  for (let pair = 0; pair < features / 2; pair += 1) {
    const turned = angle / slower(pair, features, temperature);
    numbers[2 * pair] = Math.sin(turned);
    numbers[2 * pair + 1] = Math.cos(turned);
  }
  return numbers;
}

/** All waves of a map of `[height, width]` cells: one row for each row of cells, and one for each column. */
export function encode([height, width], features, temperature) {
  const axis = (count) => Array.from({ length: count }, (_, index) => waves(angleOf(index, count), features, temperature));
  return { y: axis(height), x: axis(width), features };
}

/** The vector of one cell, 2 * features numbers. */
export const vectorOf = ({ y, x }, [row, column]) => [...y[row], ...x[column]];

const product = (a, b) => a.reduce((sum, number, index) => sum + number * b[index], 0);

/** How alike every cell is to `[row, column]`, in [-1, 1], row by row: the product over its largest value. */
export function similarities({ y, x, features }, [row, column]) {
  const ofRows = y.map((other) => product(y[row], other));
  const ofColumns = x.map((other) => product(x[column], other));
  return ofRows.map((down) => ofColumns.map((across) => (down + across) / features));
}

/** One channel of every cell, row by row. */
export const channelOf = ({ y, x, features }, channel) =>
  y.map((ofRow) => x.map((ofColumn) => (channel < features ? ofRow[channel] : ofColumn[channel - features])));

/** What a channel is: its axis, pair, and whether it is the sine. */
export const nameOf = (channel, features) => ({
  axis: channel < features ? "y" : "x",
  pair: Math.floor((channel % features) / 2),
  wave: channel % 2 === 0 ? "sin" : "cos",
});
