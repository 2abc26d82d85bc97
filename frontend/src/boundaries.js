// The lines between regions: as vectors along the edges of pixels, and as pixels of a view at any zoom.

import { check, checkInteger } from './errors.js';

/**
 * The part of the map that a picture shows: pixel (i, j) of the picture shows the map at
 * (x + (i + 0.5) / scale, y + (j + 0.5) / scale).
 *
 * @typedef {object} View
 * @property {number} x of the map, at the picture's left edge
 * @property {number} y of the map, at its top edge
 * @property {number} scale pixels of the picture per pixel of the map
 * @property {number} width of the picture, pixels
 * @property {number} height of the picture, pixels
 */

/**
 * For each of `size` pixels of a picture the map's column (or row) that it shows; -1 outside.
 *
 * @param {number} from
 * @param {number} scale
 * @param {number} size
 * @param {number} limit
 * @returns {Int32Array}
 */
export function sample(from, scale, size, limit) {
  const places = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const place = Math.floor(from + (i + 0.5) / scale);
    places[i] = place >= 0 && place < limit ? place : -1;
  }
  return places;
}

/** @param {View} view */
export function checkView(view) {
  checkInteger('view.width', view.width, 1, 2 ** 15);
  checkInteger('view.height', view.height, 1, 2 ** 15);
  const sound = view.scale > 0 && Number.isFinite(view.x + view.y + view.scale);
  check(sound, 'INVALID_ARGUMENT', 'view: x and y must be numbers, scale a number above 0');
}

/**
 * A picture's pixels, one 32-bit value each.
 *
 * @param {Uint8ClampedArray | Uint8Array} rgba
 * @param {View} view
 * @returns {Uint32Array}
 */
export function pixelsOf(rgba, view) {
  checkView(view);
  const bytes = 4 * view.width * view.height;
  check(
    rgba.length === bytes,
    'INVALID_ARGUMENT',
    `rgba: must be ${bytes} bytes for this view, got ${rgba.length}`,
  );
  return new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4);
}

/**
 * @param {ArrayLike<number>} color R, G, B, A: bytes
 * @returns {number} as it stands in a picture's memory
 */
export function packed(color) {
  return new Uint32Array(Uint8Array.from([color[0], color[1], color[2], color[3] ?? 255]).buffer)[0];
}

export class Boundaries {
  /** @param {import('./map.js').Level} level */
  constructor(level) {
    /** @readonly */
    this.level = level;
  }

  /** All lines, as `segmentsIn` gives them. */
  get segments() {
    const { width, height } = this.level.map;
    return this.level._once('segments', () => this.segmentsIn(0, 0, width, height));
  }

  /**
   * The lines between the regions inside a box, as long as they go straight on. They run along pixel edges: (0, 0) is
   * the top left corner of the map. The frame of the map is no line.
   *
   * @param {number} x0 pixels, whole or not: all pixels that the box touches count
   * @param {number} y0
   * @param {number} x1
   * @param {number} y1
   * @returns {Int32Array} x0, y0, x1, y1 of each, from left to right or from top to bottom
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
    const open = new Int32Array(columns).fill(-1); // where the vertical line left of each column began
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
   * The lines as the `d` of an SVG path, in pixels of the map; stroke it with `vector-effect: non-scaling-stroke`.
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
   * The lines of a view as a path in pixels of the picture, to be stroked on a canvas.
   *
   * @param {View} view
   * @returns {Path2D}
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
   * The lines of a view, one pixel of the picture wide at any zoom: 1 where the region differs from that of the next
   * pixel of the picture, to the right or below.
   *
   * @param {View} [view] the whole map, pixel by pixel
   * @returns {Uint8Array} height * width
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
   * Draw the lines of a view into a picture; other pixels are left as they are.
   *
   * @param {Uint8ClampedArray | Uint8Array} rgba the picture, as ImageData has it
   * @param {View} view
   * @param {ArrayLike<number>} color R, G, B, A: bytes
   */
  paint(rgba, view, color) {
    this._mark(pixelsOf(rgba, view), packed(color), view);
  }

  /**
   * @param {Uint8Array | Uint32Array} out
   * @param {number} value
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
 * The labels of a picture's rows, and of the rows below them.
 *
 * @param {import('./map.js').LabelMap} map
 * @param {View} view
 * @param {(row: Int32Array, below: Int32Array, from: number, to: number, last: number, at: number) => void} each row's
 *   columns `from` to `to` (excluded) lie in the map; so does column `to` where `last` is larger. The row begins at pixel
 *   `at` of the picture
 */
function scan(map, view, each) {
  const { labels } = map;
  const { width, height } = view;
  // One column and row more than are drawn, to compare the last ones with.
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
  let held = -1;
  for (let j = 0; j < height; j++) {
    if (rows[j] < 0) continue;
    if (rows[j] !== held) read(rows[j], row);
    held = rows[j];
    const next = rows[j + 1];
    const apart = next >= 0 && next !== held;
    if (apart) read(next, below);
    each(row, apart ? below : row, from, Math.min(last, width), last, j * width);
    if (!apart) continue;
    [row, below] = [below, row];
    held = next;
  }
}

/**
 * The outlines of all levels at once, as an ultrametric contour map (Arbelaez 2006): for each pixel of a picture up to
 * which level a line runs between it and the next one, to the right or below. It lets the size slider draw any level by
 * one comparison a pixel.
 *
 * @param {import('./map.js').LabelMap} map
 * @param {View} view
 * @returns {Uint16Array | Uint32Array} height * width: 0 for no line, else 1 + the rank of the merge that removes it
 */
export function outline(map, view) {
  const { joins } = map;
  const size = view.width * view.height;
  const strengths = map.count < 2 ** 16 ? new Uint16Array(size) : new Uint32Array(size);
  // Neighbouring pixels often ask for the same pair of labels.
  const lastRight = new Int32Array(map.count).fill(-1);
  const lastBelow = new Int32Array(map.count).fill(-1);
  const rightStrength = new Int32Array(map.count);
  const belowStrength = new Int32Array(map.count);
  scan(map, view, (labels, below, from, to, last, at) => {
    for (let i = from; i < to; i++) {
      const label = labels[i];
      const down = below[i];
      let strength = 0;
      if (down !== label) {
        if (lastBelow[label] !== down) {
          lastBelow[label] = down;
          belowStrength[label] = 1 + joins.between(label, down);
        }
        strength = belowStrength[label];
      }
      const right = i + 1 < last ? labels[i + 1] : label;
      if (right !== label) {
        if (lastRight[label] !== right) {
          lastRight[label] = right;
          rightStrength[label] = 1 + joins.between(label, right);
        }
        if (rightStrength[label] > strength) strength = rightStrength[label];
      }
      strengths[at + i] = strength;
    }
  });
  return strengths;
}
