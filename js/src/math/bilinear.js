/**
 * Reading a map between its cells, as `grid_sample(align_corners=False, padding_mode="zeros")` does.
 *
 * A map is {width, height, data}: row by row, one number a cell. Cells outside it read zero.
 */

/** Normalized coordinate (0 and 1 at the outer edges) to cells, where integers are cell centers. */
export const toPixels = (normalized, size) => normalized * size - 0.5;

/** Cells to a normalized coordinate, the inverse of `toPixels`. */
export const toNormalized = (pixels, size) => (pixels + 0.5) / size;

/**
 * The four cells around a point, in reading order.
 *
 * @param {number} x column, in cells
 * @param {number} y row, in cells
 * @returns {{column: number, row: number, weight: number}[]} weights sum to 1; cells may lie outside the map
 */
export function neighbors(x, y) {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const right = x - left;
  const below = y - top;
  return [
    { column: left, row: top, weight: (1 - right) * (1 - below) },
    { column: left + 1, row: top, weight: right * (1 - below) },
    { column: left, row: top + 1, weight: (1 - right) * below },
    { column: left + 1, row: top + 1, weight: right * below },
  ];
}

/** Is a cell part of a map of this size? */
export const isInside = ({ column, row }, { width, height }) =>
  column >= 0 && column < width && row >= 0 && row < height;

/** The value of one cell, zero outside. */
export const readCell = (map, cell) => (isInside(cell, map) ? map.data[cell.row * map.width + cell.column] : 0);

/** A map's value at a normalized point (x, y). */
export function bilinearSample(map, [x, y]) {
  let total = 0;
  for (const cell of neighbors(toPixels(x, map.width), toPixels(y, map.height))) {
    total += cell.weight * readCell(map, cell);
  }
  return total;
}
