/** Boxes as [cx, cy, w, h], their distance and their generalized overlap. */

const corners = ([cx, cy, w, h]) => [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2];
const area = ([x1, y1, x2, y2]) => Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);

/** Sum of the absolute differences of the four numbers. */
export const distance = (box, other) => box.reduce((sum, number, axis) => sum + Math.abs(number - other[axis]), 0);

/** Overlap over union, minus the part of the common frame that neither box covers: -1 to 1. */
export function generalizedOverlap(box, other) {
  const [a, b] = [corners(box), corners(other)];
  const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  const frame = area([Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
  const union = area(a) + area(b) - both;
  return both / union - (frame - union) / frame;
}
