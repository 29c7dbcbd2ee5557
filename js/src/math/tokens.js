/** Where a token of the flattened list stands: its level, row and column, its patch on the canvas, and back. */

/** The index of the first token of every level. @param {[number, number][]} shapes [height, width] of the levels */
export function levelStarts(shapes) {
  const starts = [0];
  for (const [height, width] of shapes) starts.push(starts[starts.length - 1] + height * width);
  return starts.slice(0, -1);
}

/** How many tokens there are in all. */
export const countTokens = (shapes) => shapes.reduce((sum, [height, width]) => sum + height * width, 0);

/** @returns {{level: number, row: number, column: number, start: number}} */
export function addressOf(token, shapes) {
  const starts = levelStarts(shapes);
  let level = starts.length - 1;
  while (starts[level] > token) level -= 1;
  const place = token - starts[level];
  const width = shapes[level][1];
  return { level, row: Math.floor(place / width), column: place % width, start: starts[level] };
}

/** The token of a cell; rows and columns outside the map are moved to its border. */
export function tokenAt(level, row, column, shapes) {
  const [height, width] = shapes[level];
  const inside = (place, count) => Math.min(Math.max(place, 0), count - 1);
  return levelStarts(shapes)[level] + inside(row, height) * width + inside(column, width);
}

/** The patch of a token, in pixels of the canvas [height, width]. @returns {[number, number, number, number]} x1 y1 x2 y2 */
export function patchOf(token, shapes, [canvasHeight, canvasWidth]) {
  const { level, row, column } = addressOf(token, shapes);
  const [height, width] = shapes[level];
  const [x, y] = [canvasWidth / width, canvasHeight / height];
  return [column * x, row * y, (column + 1) * x, (row + 1) * y];
}

/** The token of a level whose patch holds a point of the canvas. */
export function tokenOfPoint(level, x, y, shapes, [canvasHeight, canvasWidth]) {
  const [height, width] = shapes[level];
  return tokenAt(level, Math.floor((y / canvasHeight) * height), Math.floor((x / canvasWidth) * width), shapes);
}

/** The token of another level that covers the middle of this token's patch. */
export function samePlace(token, level, shapes) {
  const from = addressOf(token, shapes);
  const [height, width] = shapes[from.level];
  return tokenOfPoint(level, (from.column + 0.5) / width, (from.row + 0.5) / height, shapes, [1, 1]);
}
