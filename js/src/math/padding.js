/** Batches of pictures of different size: canvas, masks of feature maps, valid ratios. Sizes are [height, width]. */

/** The largest height and the largest width, which may belong to two different pictures. */
export const canvasSize = (sizes) => [0, 1].map((axis) => Math.max(...sizes.map((size) => size[axis])));

/** Cells of a feature map: each halving rounds up, as the padded convolutions of the backbone do. */
export function mapSize([height, width], stride) {
  let cells = [height, width];
  for (let step = 1; step < stride; step *= 2) cells = cells.map((side) => Math.ceil(side / 2));
  return cells;
}

/** The pixel that cell number `cell` reads: nearest neighbor with floor, in 32 bits as torch computes it. */
export function pixelOfCell(cell, pixels, cells) {
  const scale = Math.fround(pixels / cells);
  return Math.min(Math.floor(Math.fround(cell * scale)), pixels - 1);
}

/** How many cells along an axis read a pixel of the picture and not of its padding. */
export function validCells(own, pixels, cells) {
  let count = 0;
  while (count < cells && pixelOfCell(count, pixels, cells) < own) count += 1;
  return count;
}

/** For every picture of a batch, on the feature map of a stride: valid cells [rows, columns] and ratios (x, y). */
export function maskOnMap(sizes, stride) {
  const canvas = canvasSize(sizes);
  const cells = mapSize(canvas, stride);
  const pictures = sizes.map((size) => {
    const valid = size.map((own, axis) => validCells(own, canvas[axis], cells[axis]));
    return { valid, ratios: [valid[1] / cells[1], valid[0] / cells[0]] };
  });
  return { canvas, cells, pictures };
}

/** The part of a batch's pixels that is padding. */
export function paddingShare(sizes) {
  const [height, width] = canvasSize(sizes);
  const own = sizes.reduce((sum, [h, w]) => sum + h * w, 0);
  return 1 - own / (sizes.length * height * width);
}
