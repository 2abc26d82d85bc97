import { check, isIntegerIn } from '../errors.js';
import { nearest } from '../nearest.js';
import { curves } from './arithmetic.js';

/** @typedef {import('../map.js').Level} Level */
/** @typedef {import('../boxes.js').Box} Box */

/** Most pixels that are looked at; of a larger view every second, third, ... column and row. */
const MAX_SAMPLES = 1 << 19;

/**
 * A picture of the box, as large as the box or smaller.
 *
 * @typedef {object} Picture
 * @property {ArrayLike<number>} data 4 bytes per pixel, as in ImageData; A is ignored
 * @property {number} width
 * @property {number} height
 */

/**
 * The pixels that are looked at, row by row.
 *
 * @typedef {object} Sampled
 * @property {Int32Array} labels the region of the level; -1 outside the mask
 * @property {number} columns
 * @property {number} inside how many samples are not outside
 * @property {number} firstColumn that is not wholly outside
 * @property {number} firstRow that is not wholly outside
 * @property {Int16Array} curve 3 per sample: its colour
 * @property {Uint8Array} left whether the view has a sample to the left, and no pixel from there to here is outside; 0 for a row
 *   below the last one
 * @property {Uint8Array} above the same upward
 */

/**
 * @param {Level} level
 * @param {number} none from `outsideOf`
 * @param {Picture} [colors]
 * @param {Box} [box]
 * @returns {Sampled}
 */
export function sample(level, none, colors, box) {
  const { map, lut } = level;
  const { x0, y0, x1, y1 } = box ?? { x0: 0, y0: 0, x1: map.width, y1: map.height };
  const inside = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ most) =>
    isIntegerIn(a, 0, most) && isIntegerIn(b, a + 1, most);
  check(
    inside(x0, x1, map.width) && inside(y0, y1, map.height),
    'INVALID_ARGUMENT',
    `box: must be x0 < x1, y0 < y1, integers in ${map.width} x ${map.height}, got ${[x0, y0, x1, y1]}`,
  );
  const [wide, high] = [x1 - x0, y1 - y0];
  const size = colors ?? { width: wide, height: high, data: { length: 4 * wide * high } };
  check(
    isIntegerIn(size.width, 1, wide) &&
      isIntegerIn(size.height, 1, high) &&
      size.data.length === 4 * size.width * size.height,
    'INVALID_ARGUMENT',
    `colors: must be an image of at most ${wide} x ${high}, as the box is, got ${size.width} x ${size.height}`,
  );
  let stride = 1;
  while (Math.ceil(size.width / stride) * Math.ceil(size.height / stride) > MAX_SAMPLES) stride++;
  const [columns, rows] = [Math.ceil(size.width / stride), Math.ceil(size.height / stride)];
  const [mapX, mapY] = [nearest(wide, columns), nearest(high, rows)];
  const labels = new Int32Array(columns * rows).fill(-1);
  const left = new Uint8Array(labels.length + columns);
  const above = new Uint8Array(labels.length + columns);
  const sampled = { labels, columns, left, above, inside: 0, firstColumn: columns, firstRow: rows };
  /** @type {(from: number, to: number, step: number) => number} */
  const isOpen = (from, to, step) => {
    while (from < to && map.labels[from] !== none) from += step;
    return +(from === to);
  };
  for (let row = 0, i = 0; row < rows; row++) {
    const start = (y0 + mapY[row]) * map.width + x0;
    for (let column = 0; column < columns; column++, i++) {
      const at = start + mapX[column];
      const label = map.labels[at];
      if (label === none) continue;
      labels[i] = lut[label];
      sampled.inside++;
      sampled.firstColumn = Math.min(sampled.firstColumn, column);
      sampled.firstRow = Math.min(sampled.firstRow, row);
      if (column) left[i] = isOpen(start + mapX[column - 1], at, 1);
      if (row) above[i] = isOpen(at - (mapY[row] - mapY[row - 1]) * map.width, at, map.width);
    }
  }
  if (!colors) return { ...sampled, curve: meanCurves(level, labels) };
  const [pictureX, pictureY] = [nearest(size.width, columns), nearest(size.height, rows)];
  let { data } = colors;
  if (stride > 1) {
    const few = new Uint8Array(4 * labels.length);
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, i += 4) {
        const from = 4 * (pictureY[row] * size.width + pictureX[column]);
        for (let channel = 0; channel < 3; channel++) few[i + channel] = data[from + channel];
      }
    }
    data = few;
  }
  return { ...sampled, curve: curves(data, 4) };
}

/**
 * @param {import('../map.js').LabelMap} map
 * @param {number} [outsideRegion] the finest region that stands for pixels of no superpixel
 * @returns {number} the label of pixels outside; -1: there are none
 */
export function outsideOf(map, outsideRegion) {
  if (outsideRegion === undefined) return map.outside ? map.count : -1;
  check(
    !map.outside && isIntegerIn(outsideRegion, 0, map.count - 1),
    'INVALID_ARGUMENT',
    `outsideRegion: must be a finest region of a map without a mask, got ${outsideRegion}`,
  );
  return outsideRegion;
}

/**
 * @param {Level} level
 * @param {Int32Array} labels the region of each sample
 */
function meanCurves(level, labels) {
  const sums = new Float64Array(3 * level.count);
  level.map.colorSums.forEach((sum, i) => (sums[3 * level.lut[Math.floor(i / 3)] + (i % 3)] += sum));
  const mean = curves(
    sums.map((sum, i) => Math.floor(sum / level.areas[Math.floor(i / 3)] + 0.5)),
    3,
  );
  const curve = new Int16Array(3 * labels.length);
  for (let i = 0; i < curve.length; i++) curve[i] = mean[3 * labels[Math.floor(i / 3)] + (i % 3)];
  return curve;
}
