/** Arrays that travel as base64 text: little-endian numbers, whatever the machine. */

const READERS = {
  uint8: [1, (view, position) => view.getUint8(position)],
  int16: [2, (view, position) => view.getInt16(position, true)],
  float32: [4, (view, position) => view.getFloat32(position, true)],
};

/** @returns {Float64Array} the numbers of a packed array {dtype, data} */
export function unpack({ dtype, data }) {
  const text = atob(data);
  const view = new DataView(Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer);
  const [size, read] = READERS[dtype];
  return Float64Array.from({ length: view.byteLength / size }, (_, index) => read(view, index * size));
}

/**
 * Rows of a table stored as mean + left x right, with few columns between them.
 *
 * @param {{rows: number, columns: number, rank: number, mean: object, left: object, right: object, scale: number[]}}
 *   packed `left` is rows x rank, `right` rank x columns, both integers; `scale` turns their product into numbers
 * @returns {(row: number) => Float64Array}
 */
export function unpackTable({ columns, rank, mean, left, right, scale }) {
  const center = unpack(mean);
  const leftValues = unpack(left);
  const rightValues = unpack(right);
  return (row) => {
    const values = Float64Array.from(center);
    for (let component = 0; component < rank; component += 1) {
      const factor = leftValues[row * rank + component] * scale[component];
      for (let column = 0; column < columns; column += 1) {
        values[column] += factor * rightValues[component * columns + column];
      }
    }
    return values;
  };
}
