import { findShapes } from './shapes.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/** Most corners of a ring that are tried as the end of a bridge. */
const MOST_ENDS = 64;

/**
 * YOLO segmentation labels: a line per object, and one per 4-connected piece of a class without an object. It holds the class,
 * counted from 0, and the outline through the centres of the outermost pixels, as fractions of width and height. A reader
 * that also fills the outline's own pixels gets exactly the same pixels; Ultralytics does so with cv2.fillPoly. Bridges join
 * the pieces of an object, as Ultralytics' own converter does: a reader gets the pixels under them, too.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {number} [options.simplify] pixels by which borders may move; 0 (default): none moves. If it is more, the outline
 *   runs along the border that neighbours share, not through the centres of pixels
 * @returns {string} the text file
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `simplify` is not a number from 0 on, or `loadSimplify` was not awaited
 */
export function toYOLO(annotation, { simplify = 0 } = {}) {
  const { width, height } = annotation;
  const { groups, joined } = findShapes(annotation, true, simplify);
  const rings = joined(true);
  return groups
    .map((group) => {
      const ring = chain(group.pieces.map(({ id }) => rings[id - 1]));
      // A YOLO polygon needs three points.
      while (ring.length < 6) ring.push(...ring.slice(-2));
      const shares = ring.map((value, at) => share(value, at % 2 ? height : width));
      return `${group.class - 1} ${shares.join(' ')}\n`;
    })
    .join('');
}

/**
 * Join rings to one: a bridge leads from each to the next, and back the same way.
 *
 * @param {number[][]} rings corners x, y, x, y, ...
 * @returns {number[]} one ring
 */
function chain(rings) {
  /** @type {number[]} */
  const out = [];
  /** Append the corners `from` to `to` of a ring. @type {(ring: number[], from: number, to: number) => void} */
  const walk = (ring, from, to) => {
    const corners = ring.length / 2;
    for (let i = from; i <= to; i++) out.push(ring[2 * (i % corners)], ring[2 * (i % corners) + 1]);
  };
  const bridges = rings.slice(1).map((ring, i) => bridge(rings[i], ring));
  const last = rings.length - 1;
  /** The corner at which each ring begins. */
  const begins = [0, ...bridges.map(([, to]) => to)];
  for (let i = 0; i < last; i++) {
    const from = bridges[i][0];
    walk(rings[i], begins[i], from < begins[i] ? from + rings[i].length / 2 : from);
  }
  // The last ring is closed if a bridge leads back from it.
  walk(rings[last], begins[last], begins[last] + rings[last].length / 2 - (last ? 0 : 1));
  for (let i = last - 1; i >= 0; i--) {
    const [from] = bridges[i];
    const corners = rings[i].length / 2;
    const end = begins[i] <= from ? begins[i] + corners : begins[i];
    walk(rings[i], from, i ? end : end - 1);
  }
  return out;
}

/**
 * @param {number[]} a a ring
 * @param {number[]} b
 * @returns {[number, number]} a corner of each: of those tried, the first pair with the least distance
 */
function bridge(a, b) {
  const [stepA, stepB] = [a, b].map((ring) => Math.ceil(ring.length / 2 / MOST_ENDS));
  let least = Infinity;
  /** @type {[number, number]} */
  let best = [0, 0];
  for (let i = 0; 2 * i < a.length; i += stepA) {
    for (let j = 0; 2 * j < b.length; j += stepB) {
      const distance = (a[2 * i] - b[2 * j]) ** 2 + (a[2 * i + 1] - b[2 * j + 1]) ** 2;
      if (distance < least) [least, best] = [distance, [i, j]];
    }
  }
  return best;
}

/**
 * @param {number} halfPixels
 * @param {number} size pixels
 * @returns {string} halfPixels / (2 * size) to six decimal places, rounded half up
 */
function share(halfPixels, size) {
  const millionths = Math.floor((halfPixels * 1e6 + size) / (2 * size));
  return `${Math.floor(millionths / 1e6)}.${String(millionths % 1e6).padStart(6, '0')}`;
}
