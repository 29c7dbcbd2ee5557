/** L1, 1 - IoU and 1 - GIoU of two boxes [cx, cy, w, h], each with its slopes along the four numbers of the first. */

const corners = ([cx, cy, w, h]) => [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2];

/** The share of a slope that reaches `own` through the larger (smaller) of two numbers; of equals each has half, as in torch. */
const share = (own, other) => (own > other ? 1 : own === other ? 0.5 : 0);

/** From slopes along the corners (x1, y1, x2, y2) to slopes along (cx, cy, w, h). */
const toCenter = ([x1, y1, x2, y2]) => [x1 + x2, y1 + y2, (x2 - x1) / 2, (y2 - y1) / 2];

function overlaps(box, other) {
  const [a, b] = [corners(box), corners(other)];
  const inside = [0, 1].map((axis) => Math.min(a[axis + 2], b[axis + 2]) - Math.max(a[axis], b[axis]));
  const common = inside.map((side) => Math.max(side, 0));
  const frame = [0, 1].map((axis) => Math.max(a[axis + 2], b[axis + 2]) - Math.min(a[axis], b[axis]));
  const side = [0, 1].map((axis) => a[axis + 2] - a[axis]);
  const C = common[0] * common[1];
  const F = frame[0] * frame[1];
  const U = side[0] * side[1] + (b[2] - b[0]) * (b[3] - b[1]) - C;
  const [iouSlopes, giouSlopes] = [[], []];
  for (let corner = 0; corner < 4; corner += 1) {
    const [axis, across, sign] = [corner % 2, 1 - (corner % 2), corner < 2 ? -1 : 1];
    const inner = share(sign * b[corner], sign * a[corner]); // this edge of the box bounds the common part
    const dC = inside[axis] > 0 ? sign * inner * common[across] : 0;
    const dF = sign * share(sign * a[corner], sign * b[corner]) * frame[across];
    const dU = sign * side[across] - dC;
    iouSlopes[corner] = (dC * U - C * dU) / U ** 2;
    giouSlopes[corner] = iouSlopes[corner] + (dU * F - U * dF) / F ** 2;
  }
  return { iou: C / U, giou: C / U - (F - U) / F, iouSlopes, giouSlopes };
}

/** `{ value, slopes }` for each of l1, iou, giou (the losses, 1 minus the overlaps) and sum (5 L1 + 2 (1 - GIoU)). */
export function boxLosses(box, other) {
  const gaps = box.map((number, index) => number - other[index]);
  const { iou, giou, iouSlopes, giouSlopes } = overlaps(box, other);
  const negative = (slopes) => toCenter(slopes).map((slope) => 0 - slope);
  const losses = {
    l1: { value: gaps.reduce((sum, gap) => sum + Math.abs(gap), 0), slopes: gaps.map(Math.sign) },
    iou: { value: 1 - iou, slopes: negative(iouSlopes) },
    giou: { value: 1 - giou, slopes: negative(giouSlopes) },
  };
  losses.sum = {
    value: 5 * losses.l1.value + 2 * losses.giou.value,
    slopes: losses.l1.slopes.map((slope, index) => 5 * slope + 2 * losses.giou.slopes[index]),
  };
  return losses;
}

const FLAT = 1e-9;
export const isFlat = (slopes) => slopes.every((slope) => Math.abs(slope) < FLAT);

/** One step downhill: at most `reach` along each number, less where the slopes are below 1. */
export function step(box, slopes, reach = 0.02) {
  const steepest = Math.max(1, ...slopes.map(Math.abs));
  return box.map((number, index) => number - (reach * slopes[index]) / steepest);
}

/** One loss over the place of the box's center: rows of `{ value, flat }`, `count` x `count` places in the unit square. */
export function landscape(name, [, , w, h], other, count) {
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: count }, (_, column) => {
      const { value, slopes } = boxLosses([(column + 0.5) / count, (row + 0.5) / count, w, h], other)[name];
      return { value, flat: isFlat(slopes.slice(0, 2)) };
    }),
  );
}
