/** What a loss asks of the box, in words. */

import { format } from "../common/format.js";
import { isFlat } from "../math/box_losses.js";

export const NAMES = { l1: "L1", iou: "1 − IoU", giou: "1 − GIoU", sum: "5 L1 + 2 (1 − GIoU)" };

export const slopeText = (slope) => format(slope, 2);

/** One sentence on the overlap, one on where the chosen loss pulls. */
export function describe(losses, name) {
  const { slopes } = losses[name];
  const overlap = `IoU ${format(1 - losses.iou.value, 2)}, GIoU ${format(1 - losses.giou.value, 2)}. `;
  if (isFlat(slopes)) {
    const done = losses.l1.value < 1e-9 ? "the boxes are equal" : "the box stays where it is";
    return `${overlap}${NAMES[name]} has no slope here: ${done}.`;
  }
  const words = [["left", "right"], ["up", "down"], ["narrower", "wider"], ["lower", "taller"]];
  const asked = slopes.flatMap((slope, index) => (Math.abs(slope) < 1e-9 ? [] : [words[index][slope < 0 ? 1 : 0]]));
  return `${overlap}${NAMES[name]} pulls the prediction ${asked.join(", ")}.`;
}
