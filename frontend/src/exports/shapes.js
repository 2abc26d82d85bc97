// The polygons of an export: exact, or with borders that are simplified once for both neighbours.

import { grow } from '../boxes.js';
import { check } from '../errors.js';
import { checkTolerance } from '../topology/tolerance.js';
import { joinRings, traceRings } from './outlines.js';
import { findGroups, valuesOf } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * @typedef {object} Shapes
 * @property {import('./pieces.js').Group[]} groups as `findGroups` has them; if simplified, `area` and `box` are those of the
 *   polygons
 * @property {import('../pieces.js').Pieces} found
 * @property {() => number[][][]} rings of each piece by id - 1: first the outer ring, then the holes, in pixels
 * @property {(inside: boolean) => number[][]} joined the ring of each piece by id - 1 with its holes, in half pixels; inside:
 *   through the centres of the outermost pixels, if the outlines are exact
 */

/** Half of the code is for `simplify`, so it is loaded only on request. @type {typeof import('../topology/index.js') | undefined} */
let topology;

/** Load what exports need for `simplify`. It may be called more than once. */
export async function loadSimplify() {
  topology = await import('../topology/index.js');
}

/**
 * @param {Annotation} annotation
 * @param {boolean} split whether each 4-connected piece of a class without an object is a group
 * @param {number} simplify pixels by which a border may move; 0: none moves
 * @returns {Shapes}
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `simplify` is not a number from 0 on, or `loadSimplify` was not awaited
 */
export function findShapes(annotation, split, simplify) {
  if (simplify === 0) {
    const { found, groups } = findGroups(annotation, split);
    return {
      found,
      groups,
      rings: () => traceRings(found, true),
      joined: (inside) => joinRings(found, inside),
    };
  }
  checkTolerance(simplify);
  check(topology, 'INVALID_ARGUMENT', 'simplify: its code is not loaded; first `await loadSimplify()`');
  const { areaOf, Borders, joinHoles } = topology;
  const { width, height } = annotation;
  const borders = new Borders({ labels: valuesOf(annotation), width, height }, simplify);
  const rings = borders.rings();
  const pieces = borders.pieces
    .filter(({ value }) => value > 0)
    .map((piece) => ({ ...piece, ...measured(rings[piece.id - 1], areaOf) }));
  return {
    ...findGroups(annotation, split, { ...borders.found, pieces }),
    rings: () => rings.map((all) => all.map((ring) => ring.map((value) => value / 2))),
    joined: () => rings.map((all, i) => (borders.pieces[i].value ? joinHoles(all) : [])),
  };
}

/**
 * @param {number[][]} rings of a piece, in half pixels
 * @param {(ring: number[]) => number} areaOf a ring, times 8
 * @returns {Pick<import('../pieces.js').Piece, 'area' | 'box'>} in pixels
 */
function measured(rings, areaOf) {
  const [outer] = rings;
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < outer.length; i += 2) {
    grow(box, 0, outer[i], outer[i + 1], outer[i], outer[i + 1]);
  }
  const [x0, y0, x1, y1] = box.map((value) => value / 2);
  return { area: rings.reduce((sum, ring) => sum + areaOf(ring), 0) / 8, box: [x0, y0, x1, y1] };
}
