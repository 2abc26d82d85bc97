import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { polygon, stroke } from '../src/shapes.js';
import { path, pixelsOf } from './selections.js';

/** @typedef {import('./selections.js').Point} Point */

/** @param {number} px @param {number} py @param {Point} a @param {Point} b */
function distance(px, py, [ax, ay], [bx, by]) {
  const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length2 ? Math.min(1, Math.max(0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length2)) : 0;
  return Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
}

test('a stroke contains the pixels whose centres its circle covers', () => {
  fc.assert(
    fc.property(path, fc.double({ min: 0, max: 25, noNaN: true }), (points, radius) => {
      const [width, height] = [53, 37];
      const mask = pixelsOf(stroke(points, radius, width, height), width * height);
      const r = Math.max(radius, Math.SQRT1_2);
      for (let i = 0; i < mask.length; i++) {
        const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
        const nearest = points.reduce(
          (least, a, k) => Math.min(least, distance(x, y, a, points[Math.min(k + 1, points.length - 1)])),
          Infinity,
        );
        if (Math.abs(nearest - r) > 1e-6) assert.equal(mask[i], nearest < r ? 1 : 0, `${x} ${y}`);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

test('a polygon contains the pixels whose centres lie inside, by the even-odd rule', () => {
  fc.assert(
    fc.property(path, (points) => {
      const [width, height] = [53, 37];
      const mask = pixelsOf(polygon(points, width, height), width * height);
      for (let i = 0; i < mask.length; i++) {
        const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
        let inside = false;
        let close = false;
        points.forEach((a, k) => {
          const b = points[(k + 1) % points.length];
          if (distance(x, y, a, b) < 1e-6) close = true;
          if (a[1] > y !== b[1] > y && x < a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0]))
            inside = !inside;
        });
        if (!close) assert.equal(mask[i], inside ? 1 : 0, `${x} ${y}`);
      }
    }),
    { numRuns: 300, seed: 2 },
  );
});
