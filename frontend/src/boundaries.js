// The lines between regions: as segments along pixel edges, and as pixels of a view at any zoom.

import { checkView, packed, pixelsOf, sample } from './view.js';

/** @typedef {import('./view.js').View} View */

/** The lines between the regions of a level. The border of the map is not a line. */
export class Boundaries {
  /** @param {import('./map.js').Level} level */
  constructor(level) {
    /** @readonly */
    this.level = level;
  }

  /** All lines: `segmentsIn` of the whole map. @returns {Int32Array} */
  get segments() {
    const { width, height } = this.level.map;
    return this.level._once('segments', () => this.segmentsIn(0, 0, width, height));
  }

  /**
   * The lines inside a box, as straight segments of greatest length. They run along pixel edges; (0, 0) is the top left
   * corner of the map.
   *
   * @param {number} x0 pixels, may be fractional; pixels that the box touches count as inside
   * @param {number} y0
   * @param {number} x1
   * @param {number} y1
   * @returns {Int32Array} x0, y0, x1, y1 of each segment, from left to right or from top to bottom
   */
  segmentsIn(x0, y0, x1, y1) {
    const { map, lut } = this.level;
    const { labels, width, height } = map;
    const left = Math.max(0, Math.floor(x0));
    const top = Math.max(0, Math.floor(y0));
    const right = Math.min(width, Math.ceil(x1));
    const bottom = Math.min(height, Math.ceil(y1));
    if (!(left < right && top < bottom)) return new Int32Array(0);
    /** @type {number[]} */
    const out = [];
    const columns = right - left;
    const open = new Int32Array(columns).fill(-1); // row at which the line left of each column begins
    let above = new Int32Array(columns);
    let row = new Int32Array(columns);
    for (let y = top; y < bottom; y++) {
      const at = y * width + left;
      let lineFrom = -1;
      let before = -1;
      for (let c = 0; c < columns; c++) {
        const region = lut[labels[at + c]];
        row[c] = region;
        if (c > 0 && region !== before) {
          if (open[c] < 0) open[c] = y;
        } else if (open[c] >= 0) {
          out.push(left + c, open[c], left + c, y);
          open[c] = -1;
        }
        before = region;
        if (y > top && above[c] !== region) {
          if (lineFrom < 0) lineFrom = c;
        } else if (lineFrom >= 0) {
          out.push(left + lineFrom, y, left + c, y);
          lineFrom = -1;
        }
      }
      if (lineFrom >= 0) out.push(left + lineFrom, y, right, y);
      [above, row] = [row, above];
    }
    for (let c = 1; c < columns; c++) if (open[c] >= 0) out.push(left + c, open[c], left + c, bottom);
    return Int32Array.from(out);
  }

  /**
   * The lines as the `d` attribute of an SVG path, in map pixels. Stroke it with `vector-effect: non-scaling-stroke`.
   *
   * @returns {string}
   */
  toSVGPath() {
    const parts = [];
    const { segments } = this;
    for (let i = 0; i < segments.length; i += 4) {
      const [x, y, x1, y1] = segments.subarray(i, i + 4);
      parts.push(y === y1 ? `M${x} ${y}h${x1 - x}` : `M${x} ${y}v${y1 - y}`);
    }
    return parts.join('');
  }

  /**
   * The lines of a view as a path in picture pixels, to stroke on a canvas.
   *
   * @param {View} view
   * @returns {Path2D}
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the view is invalid
   */
  toPath2D(view) {
    checkView(view);
    const { x, y, scale } = view;
    const path = new Path2D();
    const seen = this.segmentsIn(x - 1, y - 1, x + view.width / scale + 1, y + view.height / scale + 1);
    for (let i = 0; i < seen.length; i += 4) {
      path.moveTo((seen[i] - x) * scale, (seen[i + 1] - y) * scale);
      path.lineTo((seen[i + 2] - x) * scale, (seen[i + 3] - y) * scale);
    }
    return path;
  }

  /**
   * The lines of a view, one picture pixel wide at any zoom.
   *
   * @param {View} [view] default: the whole map at scale 1
   * @returns {Uint8Array} view.height * view.width: 1 if the region differs from that of the next picture pixel to the
   *   right or below, else 0
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the view is invalid
   */
  raster(view) {
    const { width, height } = this.level.map;
    const shown = view ?? { x: 0, y: 0, scale: 1, width, height };
    checkView(shown);
    const mask = new Uint8Array(shown.width * shown.height);
    this._mark(mask, 1, shown);
    return mask;
  }

  /**
   * Draw the lines of a view into a picture. Other pixels stay unchanged.
   *
   * @param {Uint8ClampedArray | Uint8Array} rgba the picture, as in ImageData: 4 * view.width * view.height bytes
   * @param {View} view
   * @param {ArrayLike<number>} color R, G, B, A bytes
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the view is invalid, or `rgba` has another size
   */
  paint(rgba, view, color) {
    this._mark(pixelsOf(rgba, view), packed(color), view);
  }

  /**
   * @param {Uint8Array | Uint32Array} out one entry per picture pixel
   * @param {number} value written to the pixels on lines
   * @param {View} view
   */
  _mark(out, value, view) {
    const { map, limit, lut } = this.level;
    const strengths = map._outline(view);
    if (strengths) {
      for (let i = 0; i < strengths.length; i++) if (strengths[i] > limit) out[i] = value;
      return;
    }
    scan(map, view, (labels, below, from, to, last, at) => {
      let region = lut[labels[from]];
      for (let i = from; i < to; i++) {
        const right = i + 1 < last ? lut[labels[i + 1]] : region;
        if (region !== right || region !== lut[below[i]]) out[at + i] = value;
        region = right;
      }
    });
  }
}

/**
 * Visit the rows of a picture that show the map.
 *
 * `each` gets the labels of a row and of the row below it. Columns `from` to `to` (exclusive) show the map. If `last` is
 * larger than `to`, column `to` does so too: it is not drawn, only compared with. The row begins at picture pixel `at`.
 *
 * @param {import('./map.js').LabelMap} map
 * @param {View} view
 * @param {(row: Int32Array, below: Int32Array, from: number, to: number, last: number, at: number) => void} each
 */
function scan(map, view, each) {
  const { labels } = map;
  const { width, height } = view;
  // One extra column and row, to compare the last ones with.
  const columns = sample(view.x, view.scale, width + 1, map.width);
  const rows = sample(view.y, view.scale, height + 1, map.height);
  let from = 0;
  while (from < width && columns[from] < 0) from++;
  let last = from;
  while (last <= width && columns[last] >= 0) last++;
  /** @type {(y: number, into: Int32Array) => void} */
  const read = (y, into) => {
    const at = y * map.width;
    for (let i = from; i < last; i++) into[i] = labels[at + columns[i]];
  };
  let row = new Int32Array(width + 1);
  let below = new Int32Array(width + 1);
  let current = -1;
  for (let j = 0; j < height; j++) {
    if (rows[j] < 0) continue;
    if (rows[j] !== current) read(rows[j], row);
    current = rows[j];
    const next = rows[j + 1];
    const apart = next >= 0 && next !== current;
    if (apart) read(next, below);
    each(row, apart ? below : row, from, Math.min(last, width), last, j * width);
    if (!apart) continue;
    [row, below] = [below, row];
    current = next;
  }
}

/**
 * The outlines of all levels at once, as an ultrametric contour map (Arbelaez 2006). With it, drawing any level takes one
 * comparison per pixel.
 *
 * @param {import('./map.js').LabelMap} map
 * @param {View} view
 * @returns {Uint16Array | Uint32Array} view.height * view.width: 1 + the rank of the merge that removes the line between
 *   a pixel and the next one to the right or below; 0 if there is no line
 */
export function outline(map, view) {
  const { joins } = map;
  const size = view.width * view.height;
  const strengths = map.count < 2 ** 16 ? new Uint16Array(size) : new Uint32Array(size);
  // Keeps the last pair of each label: neighbouring pixels often need the same.
  const cached = () => {
    const other = new Int32Array(map.count + 1).fill(-1);
    const strength = new Int32Array(map.count + 1);
    /** @type {(label: number, next: number) => number} */
    return (label, next) => {
      if (other[label] !== next) {
        other[label] = next;
        strength[label] = 1 + joins.between(label, next);
      }
      return strength[label];
    };
  };
  const [toRight, toBelow] = [cached(), cached()];
  scan(map, view, (labels, below, from, to, last, at) => {
    for (let i = from; i < to; i++) {
      const label = labels[i];
      const right = i + 1 < last ? labels[i + 1] : label;
      strengths[at + i] = Math.max(
        below[i] === label ? 0 : toBelow(label, below[i]),
        right === label ? 0 : toRight(label, right),
      );
    }
  });
  return strengths;
}
