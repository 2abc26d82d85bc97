// Polygons to pixels.

import { fail, shown } from './checks.js';

/** @typedef {import('../runs.js').Runs} Runs */

/** Larger coordinates are rejected: sums and products stay exact. */
const MOST = 2 ** 24;

/** Most rows or columns that the edges of one polygon may cross in all: a bound on its memory. */
const MOST_CROSSINGS = 2 ** 25;

/**
 * @param {string} field
 * @param {any} points x, y, x, y, ...; untrusted
 * @returns {number[]}
 */
export function checkPoints(field, points) {
  if (!Array.isArray(points) || points.length < 6 || points.length % 2) {
    fail(field, `must be three or more pairs of numbers, got ${shown(points)}`);
  }
  const wrong = points.findIndex((one) => typeof one !== 'number' || !(Math.abs(one) <= MOST));
  if (wrong >= 0) fail(field, `must be numbers from -${MOST} to ${MOST}, got ${shown(points[wrong])}`);
  return points;
}

/** @returns {never} */
const tooLong = () => fail('polygon', `its edges cross over ${MOST_CROSSINGS} rows and columns`);

/**
 * The pixels in a polygon, the same as pycocotools' (rleFrPoly in maskApi.c): on a grid five times as fine, the outline
 * crosses the middle of a column of pixels at certain rows; between the first and the second crossing is inside, and so on.
 *
 * @param {number[]} points x, y, x, y, ...: at least three points
 * @param {number} width of the image
 * @param {number} height of the image
 * @returns {Runs} start and length of each run, column by column
 */
export function cocoPolygon(points, width, height) {
  const fine = points.map((value) => Math.trunc(5 * value + 0.5));
  const size = fine.length;
  /** @type {number[]} */
  const crossings = [];
  /** @type {(x: number, y: number) => void} */
  const cross = (x, y) => {
    if (crossings.length === MOST_CROSSINGS) tooLong();
    const row = Math.ceil((y + 0.5) / 5 - 0.5);
    crossings.push(x * height + Math.min(Math.max(row, 0), height));
  };
  for (let i = 0; i < size; i += 2) {
    let [xs, ys, xe, ye] = [fine[i], fine[i + 1], fine[(i + 2) % size], fine[(i + 3) % size]];
    const [dx, dy] = [Math.abs(xe - xs), Math.abs(ye - ys)];
    if (dx >= dy ? xs > xe : ys > ye) [xs, ys, xe, ye] = [xe, ye, xs, ys];
    const low = Math.min(xs, xe);
    const high = Math.max(xs, xe);
    // Column x is crossed between the fine columns 5 x + 2 and 5 x + 3.
    const first = Math.max(0, Math.ceil((low - 2) / 5));
    const last = Math.min(width - 1, Math.floor((high - 3) / 5));
    const slope = dx >= dy ? (ye - ys) / dx : (xe - xs) / dy;
    for (let x = first; x <= last; x++) {
      const column = 5 * x + 2;
      if (dx >= dy) {
        const at = (/** @type {number} */ t) => Math.trunc(ys + slope * t + 0.5);
        cross(x, Math.min(at(column - xs), at(column + 1 - xs)));
        continue;
      }
      // The first step on the other side. The estimate may be one less, so the formula of pycocotools decides.
      const beyond = (/** @type {number} */ t) => {
        const at = Math.trunc(xs + slope * t + 0.5);
        return slope > 0 ? at > column : at <= column;
      };
      let t = Math.min(Math.max(Math.round((column + 0.5 - xs) / slope), 1), dy);
      while (t < dy && !beyond(t)) t++;
      cross(x, ys + t - 1);
    }
  }
  crossings.sort((a, b) => a - b);
  /** @type {Runs} */
  const runs = [];
  for (let i = 0; i + 1 < crossings.length; i += 2) {
    if (crossings[i] < crossings[i + 1]) runs.push(crossings[i], crossings[i + 1] - crossings[i]);
  }
  return runs;
}

/**
 * The pixels whose centres lie in rings, by the even-odd rule.
 *
 * @param {number[][]} rings x, y, x, y, ... each; holes and outer rings in any order
 * @param {number} width of the image
 * @param {number} height of the image
 * @returns {Runs} start and length of each run, row by row
 */
export function evenOdd(rings, width, height) {
  /** @type {number[][]} x at which edges cross the centre line of each row */
  const rows = [];
  let left = MOST_CROSSINGS;
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      let [ax, ay, bx, by] = [ring[i], ring[i + 1], ring[(i + 2) % ring.length], ring[(i + 3) % ring.length]];
      // From top to bottom, so that two polygons that share an edge compute the same points.
      if (ay > by) [ax, ay, bx, by] = [bx, by, ax, ay];
      const bottom = Math.min(height, Math.ceil(by - 0.5));
      for (let y = Math.max(0, Math.ceil(ay - 0.5)); y < bottom; y++) {
        if (left-- === 0) tooLong();
        (rows[y] ??= []).push(ax + ((y + 0.5 - ay) / (by - ay)) * (bx - ax));
      }
    }
  }
  /** @type {Runs} */
  const runs = [];
  rows.forEach((crossings, y) => {
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const to = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (from < to) runs.push(y * width + from, to - from);
    }
  });
  return runs;
}

/**
 * The pixels in a polygon through pixel centres, those of its outline included, as cv2.fillPoly draws it.
 *
 * @param {number[]} points x, y, x, y, ...: whole numbers, pixels
 * @param {number} width of the image
 * @param {number} height of the image
 * @returns {Runs} start and length of each run, row by row; may overlap
 */
export function filledWithOutline(points, width, height) {
  const runs = evenOdd([points.map((value) => value + 0.5)], width, height);
  const size = points.length;
  for (let i = 0; i < size; i += 2) {
    const [x0, y0, x1, y1] = [points[i], points[i + 1], points[(i + 2) % size], points[(i + 3) % size]];
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
    for (let step = 0; step <= steps; step++) {
      const x = Math.round(x0 + ((x1 - x0) * step) / steps);
      const y = Math.round(y0 + ((y1 - y0) * step) / steps);
      if (x >= 0 && x < width && y >= 0 && y < height) runs.push(y * width + x, 1);
    }
  }
  return runs;
}
