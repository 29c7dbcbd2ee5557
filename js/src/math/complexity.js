/** What attention costs, from the sizes alone: detr_tutorial/complexity.py, number for number. */

const BYTES = 4; // of a number in float32

/** [height, width] of each level, in cells; a side that does not divide is rounded up. */
export const levelShapes = (height, width, strides) =>
  strides.map((stride) => [Math.ceil(height / stride), Math.ceil(width / stride)]);

export const tokensOf = (shapes) => shapes.reduce((sum, [height, width]) => sum + height * width, 0);

const bill = (projections, predictions, reading, held) => ({
  projections,
  predictions,
  reading,
  multiplyAdds: projections + predictions + reading,
  heldBytes: BYTES * held,
});

export const denseCost = ({ queries, keys, channels, heads }) =>
  bill(2 * (queries + keys) * channels ** 2, 0, 2 * queries * keys * channels, heads * queries * keys);

export function deformableCost({ queries, tokens, channels, heads, levels, points }) {
  const reads = queries * levels * points; // of one head
  return bill(
    (queries + tokens) * channels ** 2,
    3 * reads * heads * channels,
    5 * reads * channels,
    3 * heads * reads + reads * channels, // weights, locations, samples
  );
}

/** Both kinds for the encoder, where tokens ask, or for the decoder, where `queries` ask. */
export function costs({ height, width, strides, part, queries, points, channels, heads }) {
  const tokens = tokensOf(levelShapes(height, width, strides));
  const asking = part === "encoder" ? tokens : queries;
  return {
    tokens,
    dense: denseCost({ queries: asking, keys: tokens, channels, heads }),
    deformable: deformableCost({ queries: asking, tokens, channels, heads, levels: strides.length, points }),
  };
}
