// Simplifies the borders of a level, and draws them, outside the page's thread. smooth.js says what to draw.

import { Borders } from '../src/topology/index.js';

/** Pixels of the image by which outlines may move: stairs of pixels become straight. */
const TOLERANCE = 1;

/** Screen pixels outside the picture in which lines still show. */
const MARGIN = 4;

/** @type {{ labels: Int32Array, width: number, height: number } | null} */
let map = null;

/** The borders of the level that was drawn last. @type {{ count: number, borders: Borders, boxes: Int32Array } | null} */
let level = null;

/**
 * @typedef {object} Picture
 * @property {number} x left edge, pixels of the image
 * @property {number} y
 * @property {number} scale screen pixels per pixel of the image
 * @property {number} width screen pixels
 * @property {number} height
 * @property {number} ratio screen pixels per CSS pixel
 * @property {string} color `#rrggbb`
 */

/**
 * @param {number} count
 * @param {Int32Array} lut the region of each label
 */
function prepare(count, lut) {
  if (!map || level?.count === count) return;
  const { labels, width, height } = map;
  const regions = new Int32Array(labels.length);
  for (let i = 0; i < regions.length; i++) regions[i] = lut[labels[i]];
  const borders = new Borders({ labels: regions, width, height }, TOLERANCE);
  level = { count, borders, boxes: boxesOf(borders.arcs) };
}

/** @param {import('../src/topology/arcs.js').Arcs} arcs @returns {Int32Array} x0, y0, x1, y1 of each, half pixels */
function boxesOf({ count, offsets, xs, ys }) {
  const boxes = new Int32Array(4 * count);
  for (let arc = 0; arc < count; arc++) {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = offsets[arc]; i < offsets[arc + 1]; i++) {
      x0 = Math.min(x0, xs[i]);
      y0 = Math.min(y0, ys[i]);
      x1 = Math.max(x1, xs[i]);
      y1 = Math.max(y1, ys[i]);
    }
    boxes.set([x0, y0, x1, y1], 4 * arc);
  }
  return boxes;
}

/** @param {Picture} picture @returns {ImageBitmap} */
function draw({ x, y, scale, width, height, ratio, color }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context || !level) throw new Error('this browser has no canvas in workers');
  const { borders, boxes } = level;
  const { offsets, xs, ys, count, pieces } = borders.arcs;
  const half = scale / 2;
  const margin = MARGIN * ratio;
  context.beginPath();
  for (let arc = 0; arc < count; arc++) {
    if (!pieces[2 * arc] || !pieces[2 * arc + 1]) continue; // the frame of the image
    const [x0, y0, x1, y1] = boxes.subarray(4 * arc, 4 * arc + 4);
    if (x1 * half - x * scale < -margin || x0 * half - x * scale > width + margin) continue;
    if (y1 * half - y * scale < -margin || y0 * half - y * scale > height + margin) continue;
    let i = offsets[arc];
    context.moveTo(xs[i] * half - x * scale, ys[i] * half - y * scale);
    for (i++; i < offsets[arc + 1]; i++) context.lineTo(xs[i] * half - x * scale, ys[i] * half - y * scale);
  }
  context.lineJoin = context.lineCap = 'round';
  context.strokeStyle = color;
  context.lineWidth = 1.25 * ratio;
  context.stroke();
  return canvas.transferToImageBitmap();
}

/**
 * @param {MessageEvent<{ map?: typeof map, count: number, lut: Int32Array, picture: Picture, key: string }>} event
 */
self.onmessage = ({ data }) => {
  try {
    if (data.map) {
      map = data.map;
      level = null;
    }
    prepare(data.count, data.lut);
    const bitmap = draw(data.picture);
    /** @type {any} */ (self).postMessage({ key: data.key, bitmap }, [bitmap]);
  } catch (error) {
    self.postMessage({ key: data.key, error: String(error) });
  }
};
