// Polygons with holes as one ring. service/superpixel_service/client/topology/bridges.py makes the same rings, function by function.

import { cross } from './simplify.js';

/**
 * A point of a ring.
 *
 * @typedef {object} Place
 * @property {number} ring
 * @property {number} at index of its x in the ring
 */

/**
 * A hole that hangs on another ring.
 *
 * @typedef {object} Hanging
 * @property {number} at index of the other ring's point
 * @property {number} ring the hole
 * @property {number} start index of the hole's point at which the bridge ends
 */

/**
 * A line of the polygon from its left to its right end; an end is further left if it is higher at the same x.
 *
 * @typedef {object} Edge
 * @property {number} x0
 * @property {number} y0
 * @property {number} x1
 * @property {number} y1
 * @property {Place} last the last point at which the space below this edge was bounded
 */

/**
 * Join the rings of a polygon, for formats without holes. A bridge of width 0 leads from the leftmost point of each hole to
 * another point of the polygon. It crosses no ring and no other bridge.
 *
 * A line sweeps over the points from left to right. Between two neighbouring edges, it has met a last point P. The next point
 * between them sees P: nothing lies between the two. So a bridge leads from there to P (de Berg et al., Computational
 * Geometry, 2008, chapter 3).
 *
 * @param {number[][]} rings x, y, x, y, ... integers: a valid polygon; first the outer ring, with the polygon on the right
 * @returns {number[]}
 */
export function joinHoles(rings) {
  if (rings.length === 1) return rings[0];
  return walk(rings, hang(rings));
}

/**
 * @param {number[][]} rings
 * @returns {Hanging[][]} holes that hang on each ring
 */
function hang(rings) {
  /** @type {Place[]} */
  const places = rings.flatMap((points, ring) =>
    Array.from({ length: points.length / 2 }, (_, i) => ({ ring, at: 2 * i })),
  );
  const x = (/** @type {Place} */ { ring, at }) => rings[ring][at];
  const y = (/** @type {Place} */ { ring, at }) => rings[ring][at + 1];
  places.sort((a, b) => x(a) - x(b) || y(a) - y(b) || a.ring - b.ring || a.at - b.at);
  /** @type {Hanging[][]} */
  const hanging = rings.map(() => []);
  const joined = new Uint8Array(rings.length);
  joined[0] = 1;
  /** @type {Edge[]} from top to bottom */
  const edges = [];
  for (let i = 0; i < places.length;) {
    const [px, py] = [x(places[i]), y(places[i])];
    let end = i + 1;
    while (end < places.length && x(places[end]) === px && y(places[end]) === py) end++;
    const here = places.slice(i, end);
    i = end;
    const above = countAbove(edges, px, py);
    let below = above;
    while (below < edges.length && edges[below].x1 === px && edges[below].y1 === py) below++;
    let main = here.find(({ ring }) => joined[ring]);
    for (const { ring, at } of here) {
      if (joined[ring]) continue;
      const to = main ?? edges[above - 1].last;
      hanging[to.ring].push({ at: to.at, ring, start: at });
      joined[ring] = 1;
      main ??= { ring, at };
    }
    const last = /** @type {Place} */ (main);
    edges.splice(above, below - above, ...edgesFrom(rings, here, last));
    if (above > 0) edges[above - 1].last = last;
  }
  return hanging;
}

/**
 * @param {Edge[]} edges
 * @param {number} x
 * @param {number} y
 * @returns {number} how many edges lie above a point
 */
function countAbove(edges, x, y) {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { x0, y0, x1, y1 } = edges[middle];
    if (cross(x0, y0, x1, y1, x, y) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * @param {number[][]} rings
 * @param {Place[]} places of one point
 * @param {Place} last
 * @returns {Edge[]} the edges of which it is the left end, from top to bottom
 */
function edgesFrom(rings, places, last) {
  /** @type {Edge[]} */
  const edges = [];
  for (const { ring, at } of places) {
    const points = rings[ring];
    const size = points.length;
    const [x0, y0] = [points[at], points[at + 1]];
    for (const other of [(at + size - 2) % size, (at + 2) % size]) {
      const [x1, y1] = [points[other], points[other + 1]];
      if (x1 > x0 || (x1 === x0 && y1 > y0)) edges.push({ x0, y0, x1, y1, last });
    }
  }
  return edges.sort((a, b) => cross(a.x0, a.y0, b.x1, b.y1, a.x1, a.y1));
}

/** In place of a point: the end of the walk around a ring. */
const AT_END = -1;

/**
 * Walk the outer ring, and walk each hole when the point is reached on which it hangs.
 *
 * @param {number[][]} rings
 * @param {Hanging[][]} hanging
 * @returns {number[]} one ring
 */
function walk(rings, hanging) {
  const ordered = hanging.map((holes, ring) => inOrder(rings, ring, holes));
  hanging.forEach((holes, ring) => {
    for (const hole of holes) {
      split(rings, ordered[hole.ring], rings[ring].slice(hole.at, hole.at + 2), hole);
    }
  });
  /** @type {number[]} */
  const out = [];
  // Holes hang on holes to any depth: a stack, not recursion.
  const stack = [{ ring: 0, start: 0, walked: 0 }];
  while (stack.length) {
    const top = stack[stack.length - 1];
    const ring = rings[top.ring];
    const at = (top.start + top.walked) % ring.length;
    const [x, y] = [ring[at], ring[at + 1]];
    if (x !== out[out.length - 2] || y !== out[out.length - 1]) out.push(x, y);
    const isEnd = top.walked === ring.length;
    const hole = ordered[top.ring].get(isEnd ? AT_END : at)?.shift();
    if (hole) stack.push({ ring: hole.ring, start: hole.start, walked: 0 });
    else if (isEnd) stack.pop();
    else top.walked += 2;
  }
  out.length -= 2; // the first point again
  return out;
}

/**
 * @param {number[][]} rings
 * @param {number} ring
 * @param {Hanging[]} holes that hang on it
 * @returns {Map<number, Hanging[]>} by point, in the order from the line before it to the line after it
 */
function inOrder(rings, ring, holes) {
  /** @type {Map<number, Hanging[]>} */
  const byPoint = new Map();
  for (const hole of holes) {
    const several = byPoint.get(hole.at);
    if (several) several.push(hole);
    else byPoint.set(hole.at, [hole]);
  }
  for (const [at, several] of byPoint) {
    const ways = new Map(several.map((hole) => [hole, wayTo(rings[ring], at, towards(rings, ring, hole))]));
    const wayOf = (/** @type {Hanging} */ hole) => /** @type {Way} */ (ways.get(hole));
    several.sort((a, b) => order(wayOf(a), wayOf(b)));
  }
  return byPoint;
}

/**
 * Walk what hangs on a hole's first point, but before its own bridge, at the end of the hole.
 *
 * @param {number[][]} rings
 * @param {Map<number, Hanging[]>} ordered what hangs on the hole
 * @param {number[]} anchor the point on which the hole hangs
 * @param {Hanging} hole
 */
function split(rings, ordered, anchor, hole) {
  const first = ordered.get(hole.start);
  if (!first) return;
  const ring = rings[hole.ring];
  const bridge = wayTo(ring, hole.start, anchor);
  const isLate = (/** @type {Hanging} */ one) =>
    order(wayTo(ring, hole.start, towards(rings, hole.ring, one)), bridge) < 0;
  const late = first.filter(isLate);
  ordered.set(AT_END, late);
  ordered.set(hole.start, first.slice(late.length));
}

/**
 * @param {number[][]} rings
 * @param {number} ring
 * @param {Hanging} hole that hangs on it
 * @returns {number[]} the point to which the way to the hole leads first
 */
function towards(rings, ring, { at, ring: other, start }) {
  const points = rings[other];
  const same = points[start] === rings[ring][at] && points[start + 1] === rings[ring][at + 1];
  const to = same ? (start + 2) % points.length : start;
  return [points[to], points[to + 1]];
}

/**
 * A way that leads from a point of a ring into the polygon.
 *
 * @typedef {object} Way
 * @property {number} x
 * @property {number} y
 * @property {boolean} late more than half a turn from the line before the point
 */

/**
 * @param {number[]} ring
 * @param {number} at
 * @param {number[]} to
 * @returns {Way}
 */
function wayTo(ring, at, [toX, toY]) {
  const before = (at + ring.length - 2) % ring.length;
  const [x, y] = [toX - ring[at], toY - ring[at + 1]];
  return { x, y, late: cross(0, 0, ring[before] - ring[at], ring[before + 1] - ring[at + 1], x, y) > 0 };
}

/** @param {Way} a @param {Way} b @returns {number} less than 0 if a comes first from the line before the point on */
function order(a, b) {
  return Number(a.late) - Number(b.late) || cross(0, 0, a.x, a.y, b.x, b.y);
}
