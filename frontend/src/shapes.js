// The pixels in a shape: those whose centres lie in it. The centre of pixel (x, y) is (x + 0.5, y + 0.5).

import { check } from './errors.js';

/** @typedef {[number, number]} Point x, y in pixels from the map's top left corner, may be fractional */

/** @typedef {import('./runs.js').Runs} Runs */

/** So thick that a stroke contains every pixel that its path passes through. */
const LEAST_RADIUS = Math.SQRT1_2;

/** @param {readonly Point[]} points */
function checkPoints(points) {
  const sound = points.length > 0 && points.every(([x, y]) => Number.isFinite(x + y));
  check(sound, 'INVALID_ARGUMENT', 'points: must be at least one pair of numbers');
}

/**
 * Append the pixels of row y whose centres lie between x0 and x1.
 *
 * @param {Runs} runs
 * @param {number} y
 * @param {number} x0
 * @param {number} x1
 * @param {number} width
 */
function addRun(runs, y, x0, x1, width) {
  const from = Math.max(0, Math.ceil(x0 - 0.5));
  const to = Math.min(width, Math.floor(x1 - 0.5) + 1);
  if (from < to) runs.push(y * width + from, to - from);
}

/**
 * The pixels that a circle covers while it moves along a path.
 *
 * @param {readonly Point[]} points
 * @param {number} radius pixels, 0 or more
 * @param {number} width of the map
 * @param {number} height of the map
 * @returns {Runs} may overlap
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`
 */
export function stroke(points, radius, width, height) {
  checkPoints(points);
  check(radius >= 0 && radius < Infinity, 'INVALID_ARGUMENT', `radius: must be 0 or more, got ${radius}`);
  const r = Math.max(radius, LEAST_RADIUS);
  /** @type {Runs} */
  const runs = [];
  for (let i = 0; i < points.length; i++) {
    const [ax, ay] = points[i];
    const [bx, by] = points[Math.min(i + 1, points.length - 1)];
    if (i > 0 && i === points.length - 1) break;
    const dx = bx - ax;
    const dy = by - ay;
    const length = Math.hypot(dx, dy);
    // Corners of the rectangle between the circles at both ends.
    const nx = length ? (-dy / length) * r : 0;
    const ny = length ? (dx / length) * r : 0;
    const corners = [
      [ax + nx, ay + ny],
      [bx + nx, by + ny],
      [bx - nx, by - ny],
      [ax - nx, ay - ny],
    ];
    const top = Math.max(0, Math.ceil(Math.min(ay, by) - r - 0.5));
    const bottom = Math.min(height - 1, Math.floor(Math.max(ay, by) + r - 0.5));
    for (let y = top; y <= bottom; y++) {
      const centre = y + 0.5;
      let left = Infinity;
      let right = -Infinity;
      for (const [cx, cy] of [points[i], [bx, by]]) {
        const half = r * r - (centre - cy) ** 2;
        if (half < 0) continue;
        left = Math.min(left, cx - Math.sqrt(half));
        right = Math.max(right, cx + Math.sqrt(half));
      }
      for (let c = 0; c < 4 && length; c++) {
        const [px, py] = corners[c];
        const [qx, qy] = corners[(c + 1) % 4];
        if (py === qy || centre < Math.min(py, qy) || centre > Math.max(py, qy)) continue;
        const x = px + ((centre - py) / (qy - py)) * (qx - px);
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
      addRun(runs, y, left, right, width);
    }
  }
  return runs;
}

/**
 * The pixels in a polygon, by the even-odd rule.
 *
 * @param {readonly Point[]} points corners; the last one is joined to the first
 * @param {number} width of the map
 * @param {number} height of the map
 * @returns {Runs}
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`
 */
export function polygon(points, width, height) {
  checkPoints(points);
  /** @type {number[][]} x at which edges cross the centre line of each row */
  const rows = [];
  points.forEach(([ax, ay], i) => {
    const [bx, by] = points[(i + 1) % points.length];
    const top = Math.max(0, Math.ceil(Math.min(ay, by) - 0.5));
    const bottom = Math.min(height, Math.ceil(Math.max(ay, by) - 0.5));
    for (let y = top; y < bottom; y++) (rows[y] ??= []).push(ax + ((y + 0.5 - ay) / (by - ay)) * (bx - ax));
  });
  /** @type {Runs} */
  const runs = [];
  rows.forEach((crossings, y) => {
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) addRun(runs, y, crossings[i], crossings[i + 1], width);
  });
  return runs;
}

/**
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @returns {Point[]} corners of the rectangle
 */
export function rectangle(x0, y0, x1, y1) {
  return [
    [x0, y0],
    [x1, y0],
    [x1, y1],
    [x0, y1],
  ];
}
