// Borders that stay joined: the border between two pieces is simplified once, for both.
// service/superpixel_service/client/topology/__init__.py computes the same, function by function.

import { findArcs } from './arcs.js';
import { findPieces } from '../pieces.js';
import { simplifyArcs } from './simplify.js';
import { checkTolerance } from './tolerance.js';

export { joinHoles } from './bridges.js';

/** @typedef {import('./arcs.js').Arcs} Arcs */

/** Pieces of equal labels, with simplified borders that neighbours share. */
export class Borders {
  /**
   * @param {object} image
   * @param {ArrayLike<number>} image.labels height * width: any integers from 0 on
   * @param {number} image.width pixels
   * @param {number} image.height pixels
   * @param {number} tolerance pixels by which a border may move, at least 0. Small and thin pieces move less: at most by their
   *   area divided by their circumference
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the tolerance is not a number from 0 on
   */
  constructor({ labels, width, height }, tolerance) {
    checkTolerance(tolerance);
    /** The 4-connected pieces, in the order of their first pixels, and the piece of each pixel. @readonly */
    this.found = findPieces({ mask: labels, width, height }, true);
    const exact = findArcs(this.found);
    /** All borders, in half pixels. @readonly @type {Arcs} */
    this.arcs = simplifyArcs(exact, tolerancesOf(exact, this.pieces, tolerance));
  }

  /** @returns {import('../pieces.js').Piece[]} the 4-connected pieces of equal labels */
  get pieces() {
    return this.found.pieces;
  }

  /**
   * The outlines of all pieces, with the piece on the right. They are valid polygons: a piece that touches itself by a corner
   * of pixels has two rings there.
   *
   * @returns {number[][][]} rings of each piece as points x, y, x, y, ... in half pixels: first the outer ring, then the holes
   */
  rings() {
    const { arcs, pieces } = this;
    /** @type {number[][][]} */
    const rings = pieces.map(() => []);
    const done = new Uint8Array(2 * arcs.count);
    for (let start = 0; start < done.length; start++) {
      const piece = arcs.pieces[start];
      if (done[start] || piece === 0) continue;
      /** @type {number[]} */
      const ring = [];
      let dart = start;
      do {
        done[dart] = 1;
        addPoints(arcs, dart, ring);
        dart = arcs.next[dart];
      } while (dart !== start);
      if (areaOf(ring) > 0) rings[piece - 1].unshift(ring);
      else rings[piece - 1].push(ring);
    }
    return rings;
  }
}

/**
 * Add the points of a dart but the last one.
 *
 * @param {Arcs} arcs
 * @param {number} dart
 * @param {number[]} ring
 */
function addPoints({ offsets, xs, ys }, dart, ring) {
  const [from, to] = [offsets[dart >> 1], offsets[(dart >> 1) + 1]];
  if (dart & 1) for (let i = to - 1; i > from; i--) ring.push(xs[i], ys[i]);
  else for (let i = from; i < to - 1; i++) ring.push(xs[i], ys[i]);
}

/**
 * @param {number[]} ring in half pixels
 * @returns {number} eight times its area in pixels; less than 0 for a hole
 */
export function areaOf(ring) {
  let sum = 0;
  let [x, y] = ring.slice(-2);
  for (let i = 0; i < ring.length; i += 2) {
    sum += x * ring[i + 1] - y * ring[i];
    [x, y] = [ring[i], ring[i + 1]];
  }
  return sum;
}

/**
 * @param {Arcs} arcs in pixels
 * @param {import('../pieces.js').Piece[]} pieces
 * @param {number} tolerance
 * @returns {Float64Array} of each arc: at most the area of the pieces on both sides, divided by their circumference
 */
function tolerancesOf({ count, offsets, xs, ys, pieces: sides }, pieces, tolerance) {
  const around = new Float64Array(pieces.length + 1);
  for (let arc = 0; arc < count; arc++) {
    let length = 0;
    for (let i = offsets[arc] + 1; i < offsets[arc + 1]; i++) {
      length += Math.abs(xs[i] - xs[i - 1]) + Math.abs(ys[i] - ys[i - 1]);
    }
    around[sides[2 * arc]] += length;
    around[sides[2 * arc + 1]] += length;
  }
  const most = new Float64Array(pieces.length + 1);
  most[0] = tolerance;
  for (const { id, area } of pieces) most[id] = Math.min(tolerance, area / around[id]);
  return Float64Array.from({ length: count }, (_, arc) =>
    Math.min(most[sides[2 * arc]], most[sides[2 * arc + 1]]),
  );
}
