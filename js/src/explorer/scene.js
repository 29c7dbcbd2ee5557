/** The unchanging part of the explorer, decoded: maps of values, records of queries, geometry. */

import { unpack, unpackTable } from "../math/packing.js";
import { encoderReferencePoint, levelStarts, offsetsOf, tokenCell } from "../math/reference_points.js";

/** A flat list as nested lists of these sizes. */
export function nest(flat, sizes, start = 0) {
  if (sizes.length === 0) return flat[start];
  const [size, ...rest] = sizes;
  const step = rest.reduce((product, other) => product * other, 1);
  return Array.from({ length: size }, (_, index) => nest(flat, rest, start + index * step));
}

/** Maps [head][level] of the full, padded size from numbers that are stored for valid cells only. */
function padMaps(flat, scales, shapes, validSizes) {
  let position = 0;
  return scales.map((scale) =>
    shapes.map(([height, width], level) => {
      const [rows, columns] = validSizes[level];
      const data = new Float64Array(height * width);
      for (let row = 0; row < rows; row += 1) {
        for (let column = 0; column < columns; column += 1) {
          data[row * width + column] = flat[position] * scale;
          position += 1;
        }
      }
      return { width, height, validWidth: columns, validHeight: rows, data };
    }),
  );
}

export class Scene {
  constructor(packed) {
    Object.assign(this, packed);
    this.numLevels = packed.spatialShapes.length;
    this.starts = levelStarts(packed.spatialShapes);
    this.recordSizes = [packed.numHeads, this.numLevels, packed.numPoints];
    this.readRecord = unpackTable(packed.records);
    this.valueMaps = padMaps(unpack(packed.values), packed.valueScale, packed.spatialShapes, packed.validSizes);
    const strengthScale = packed.valueScale.map(() => 1 / 255);
    this.strengthMaps = padMaps(unpack(packed.strength), strengthScale, packed.spatialShapes, packed.validSizes);
  }

  /** Row and column of a query on its grid, or null where the page holds no record of it. */
  gridCell(query) {
    const { level, row, column } = tokenCell(query, this.spatialShapes);
    const [rows, columns] = this.validSizes[this.queryLevel];
    return level === this.queryLevel && row < rows && column < columns ? { row, column } : null;
  }

  /** The query of the grid cell nearest to a row and column, which may be fractional or outside. */
  nearestQuery(row, column) {
    const [rows, columns] = this.validSizes[this.queryLevel];
    const clamp = (value, count) => Math.min(Math.max(Math.round(value), 0), count - 1);
    const width = this.spatialShapes[this.queryLevel][1];
    return this.starts[this.queryLevel] + clamp(row, rows) * width + clamp(column, columns);
  }

  references(query) {
    return encoderReferencePoint(query, this.spatialShapes, this.validRatios);
  }

  /**
   * Offsets [head][level][point] = (x, y) in cells, and attention logits [head][level][point], of a query.
   *
   * The record that Python computed for this very query comes first; then the ones that travel with the page.
   */
  record(query, fromPython) {
    if (fromPython && fromPython.query === query) {
      const locations = nest(unpack(fromPython.locations), [...this.recordSizes, 2]);
      const weights = unpack(fromPython.weights).map((weight) => Math.log(Math.max(weight, 1e-30)));
      return {
        offsets: offsetsOf(this.references(query), locations, this.spatialShapes),
        logits: nest(weights, this.recordSizes),
      };
    }
    const cell = this.gridCell(query);
    if (cell === null) return null;
    const row = this.readRecord(cell.row * this.validSizes[this.queryLevel][1] + cell.column);
    return {
      offsets: nest(row, [...this.recordSizes, 2]),
      logits: nest(row, this.recordSizes, (row.length / 3) * 2),
    };
  }
}
