// Simplifies the borders of a level, and draws them, outside the page's thread. smooth.js says what to draw.

import { Borders } from '../src/topology/index.js';
import { isLight, rgba } from './colors.js';

/** CSS pixels outside the picture from which lines reach into it. */
const MARGIN = 4;

/** Widths of lines, CSS pixels. */
const THIN = 1.25;
const THICK = 3;

const DARK_SIDE = 'rgb(0 0 0 / 40%)';
const LIGHT_SIDE = 'rgb(255 255 255 / 40%)';

/**
 * @typedef {object} Picture
 * @property {number} x left edge, pixels of the image
 * @property {number} y
 * @property {number} scale screen pixels per pixel of the image
 * @property {number} width screen pixels
 * @property {number} height
 * @property {number} ratio screen pixels per CSS pixel
 * @property {string} color of outlines, `#rrggbb`
 */

/**
 * @typedef {object} Order
 * @property {string} key returned with the picture
 * @property {{ labels: Int32Array, width: number, height: number }} [map] only if it has changed
 * @property {number} count superpixels of the level
 * @property {Int32Array} lut the superpixel of each label
 * @property {Uint16Array} [regions] values as a selection has them, only if they have changed
 * @property {Uint16Array | null} [pixels] values of painted pixels
 * @property {string[]} colors of each value
 * @property {number} tolerance
 * @property {Picture} picture
 */

/** @typedef {Pick<Borders, 'arcs' | 'pieces'> & { boxes: Int32Array }} Drawable */

/** @type {Order['map']} */
let map;
/** The level that was drawn last, and its borders. */
let count = 0;
/** @type {Drawable | undefined} */
let level;
/** @type {string[]} */
let colors = [];
/** The borders of classes. @type {Drawable | undefined} */
let classes;

/** @param {Order} order */
function prepare(order) {
  if (order.map) {
    map = order.map;
    level = classes = undefined;
  }
  if (!map) return;
  const { labels } = map;
  if (!level || count !== order.count) {
    const { lut } = order;
    count = order.count;
    level = drawable(map, order.tolerance, (i) => lut[labels[i]]);
  }
  colors = order.colors;
  const { regions, pixels } = order;
  if (regions) {
    const isEmpty = !pixels && regions.every((value) => value === 0);
    classes = isEmpty
      ? undefined
      : drawable(map, order.tolerance, (i) => (pixels?.[i] ? pixels[i] - 1 : regions[labels[i]]));
  }
}

/**
 * @param {NonNullable<Order['map']>} map
 * @param {number} tolerance
 * @param {(i: number) => number} valueOf of a pixel
 * @returns {Drawable}
 */
function drawable({ labels: { length }, width, height }, tolerance, valueOf) {
  const labels = new Int32Array(length);
  for (let i = 0; i < length; i++) labels[i] = valueOf(i);
  const { arcs, pieces } = new Borders({ labels, width, height }, tolerance);
  return { arcs, pieces, boxes: boxesOf(arcs) };
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

/**
 * @param {Picture} picture
 * @returns {ImageBitmap}
 */
function draw(picture) {
  const { width, height, ratio } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser has no canvas in workers');
  context.lineJoin = context.lineCap = 'round';
  /** @type {(path: Path2D, color: string, thick: number) => void} */
  const stroke = (path, color, thick) => {
    context.lineWidth = thick * ratio;
    context.strokeStyle = color;
    context.stroke(path);
  };
  const { color } = picture;
  for (const path of level ? pathsOf(level, picture, () => color).values() : []) {
    // Two colours, so that the line is visible on any image.
    stroke(path, isLight(rgba(color)) ? DARK_SIDE : LIGHT_SIDE, THIN + 1.25);
    stroke(path, color, THIN);
  }
  if (classes) {
    const { arcs, pieces } = classes;
    /** @type {(dart: number) => number} */
    const valueOf = (dart) => pieces[arcs.pieces[dart] - 1].value;
    // Where two classes meet, the line has both colours, one inside the other.
    const outer = pathsOf(classes, picture, (i) => colors[Math.max(valueOf(2 * i), valueOf(2 * i + 1))]);
    const inner = pathsOf(classes, picture, (i) => colors[smaller(valueOf(2 * i), valueOf(2 * i + 1))]);
    for (const [own, path] of outer) stroke(path, own, THICK);
    for (const [own, path] of inner) stroke(path, own, THIN);
  }
  return canvas.transferToImageBitmap();
}

/** @param {number} a @param {number} b @returns {number} the smaller one that is not 0 */
const smaller = (a, b) => Math.min(a, b) || Math.max(a, b);

/**
 * @param {Drawable} drawn
 * @param {Picture} picture
 * @param {(arc: number) => string} colorOf
 * @returns {Map<string, Path2D>} by colour: what the picture shows of the borders, but not the frame of the image
 */
function pathsOf({ arcs, boxes }, { x, y, scale, width, height, ratio }, colorOf) {
  const { offsets, xs, ys, count, pieces } = arcs;
  const margin = (MARGIN * ratio) / scale;
  // The visible part of the image, in half pixels.
  const [left, top] = [2 * (x - margin), 2 * (y - margin)];
  const [right, bottom] = [2 * (x + width / scale + margin), 2 * (y + height / scale + margin)];
  /** @type {Map<string, Path2D>} */
  const paths = new Map();
  for (let arc = 0, at = 0; arc < count; arc++, at += 4) {
    if (!pieces[2 * arc] || !pieces[2 * arc + 1]) continue;
    if (boxes[at] > right || boxes[at + 1] > bottom || boxes[at + 2] < left || boxes[at + 3] < top) continue;
    const color = colorOf(arc);
    let path = paths.get(color);
    if (!path) paths.set(color, (path = new Path2D()));
    for (let i = offsets[arc]; i < offsets[arc + 1]; i++) {
      const [px, py] = [(xs[i] / 2 - x) * scale, (ys[i] / 2 - y) * scale];
      if (i === offsets[arc]) path.moveTo(px, py);
      else path.lineTo(px, py);
    }
  }
  return paths;
}

/** @param {MessageEvent<Order>} event */
self.onmessage = ({ data }) => {
  const { key } = data;
  try {
    prepare(data);
    const bitmap = draw(data.picture);
    /** @type {any} */ (self).postMessage({ key, bitmap }, [bitmap]);
  } catch (error) {
    self.postMessage({ key, error: String(error) });
  }
};
