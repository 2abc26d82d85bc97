// Simplification of arcs that cannot cross. service/superpixel_service/client/topology/simplify.py computes the same, function by
// function.

import { Heap } from '../heap.js';

/** @typedef {import('./arcs.js').Arcs} Arcs */

/** The grid in which points are found has cells of 2^4 half pixels. */
const CELL_BITS = 4;

/** Squared lengths from this one on are equal in the order of removal. */
const LONGEST = 2 ** 20 - 1;

/**
 * Simplify all arcs.
 *
 * The points of an arc are its corners, and the middles of the straight runs between them. A point B between A and C may be
 * removed if no other point of the graph lies in the triangle A B C. Then no line crosses the new line A C: it would have to
 * end in the triangle. So no arcs cross or meet, whatever the tolerance. A point is removed only if all corners of the exact
 * border between A and C stay within the tolerance of the line A C.
 *
 * Corners at steps of one pixel are removed first: the middles of the runs of a digital straight line lie close to that line.
 * Then the points of the smallest triangles are removed (Visvalingam and Whyatt 1993).
 *
 * @param {Arcs} arcs in pixels
 * @param {Float64Array} tolerances of each arc in pixels
 * @returns {Arcs} in half pixels
 */
export function simplifyArcs(arcs, tolerances) {
  const graph = new Graph(arcs);
  for (let arc = 0; arc < arcs.count; arc++) {
    if (graph.points[arc] > 2 && tolerances[arc] > 0)
      graph.simplify(arc, 4 * tolerances[arc] * tolerances[arc]);
  }
  return graph.result();
}

/** The points of all arcs, some of them removed. */
class Graph {
  /** @param {Arcs} arcs */
  constructor(arcs) {
    const { count, offsets, closed } = arcs;
    this.arcs = arcs;
    this.offsets = new Int32Array(count + 1);
    /** Points that each arc still has. */
    this.points = new Int32Array(count);
    for (let arc = 0; arc < count; arc++) {
      const corners = offsets[arc + 1] - offsets[arc];
      // A line without corners needs no middle. The last point of a closed arc is its first.
      this.points[arc] = corners === 2 ? 2 : 2 * corners - 1 - closed[arc];
      this.offsets[arc + 1] = this.offsets[arc] + this.points[arc];
    }
    const size = this.offsets[count];
    this.xs = new Int32Array(size);
    this.ys = new Int32Array(size);
    this.before = new Int32Array(size);
    this.after = new Int32Array(size);
    this.removed = new Uint8Array(size);
    /** The place of each point in the order of removal; -1 if it cannot be removed at the moment. */
    this.keys = new Float64Array(size);
    this.heap = new Heap();
    this._placePoints();
    this.grid = this._makeGrid();
  }

  _placePoints() {
    const { arcs, xs, ys, before, after, offsets } = this;
    for (let arc = 0; arc < arcs.count; arc++) {
      const [from, to] = [offsets[arc], offsets[arc + 1]];
      const first = arcs.offsets[arc];
      const isLine = to - from === 2;
      for (let i = from; i < to; i++) {
        const low = isLine ? first + i - from : first + ((i - from) >> 1);
        const high = isLine ? low : low + ((i - from) & 1);
        xs[i] = arcs.xs[low] + arcs.xs[high];
        ys[i] = arcs.ys[low] + arcs.ys[high];
        before[i] = i - 1;
        after[i] = i + 1;
      }
      before[from] = arcs.closed[arc] ? to - 1 : -1;
      after[to - 1] = arcs.closed[arc] ? from : -1;
    }
  }

  /** Sort the points into the cells of a grid, each junction once. */
  _makeGrid() {
    const { arcs, xs, ys } = this;
    const size = xs.length;
    const seen = new Uint8Array(arcs.leaving.length >> 2);
    const listed = new Uint8Array(size).fill(1);
    for (let arc = 0; arc < arcs.count; arc++) {
      if (arcs.closed[arc]) continue;
      for (const [junction, point] of [
        [arcs.ends[2 * arc + 1], this.offsets[arc]],
        [arcs.ends[2 * arc], this.offsets[arc + 1] - 1],
      ]) {
        if (seen[junction]) listed[point] = 0;
        seen[junction] = 1;
      }
    }
    let right = 0;
    let low = 0;
    for (let i = 0; i < size; i++) {
      if (xs[i] > right) right = xs[i];
      if (ys[i] > low) low = ys[i];
    }
    const columns = (right >> CELL_BITS) + 1;
    const count = columns * ((low >> CELL_BITS) + 1);
    const offsets = new Int32Array(count + 2);
    /** @type {(i: number) => number} */
    const cellOf = (i) => (ys[i] >> CELL_BITS) * columns + (xs[i] >> CELL_BITS);
    for (let i = 0; i < size; i++) if (listed[i]) offsets[cellOf(i) + 2]++;
    for (let cell = 0; cell < count; cell++) offsets[cell + 2] += offsets[cell + 1];
    const items = new Int32Array(offsets[count + 1]);
    for (let i = 0; i < size; i++) if (listed[i]) items[offsets[cellOf(i) + 1]++] = i;
    return { columns, offsets, items };
  }

  /**
   * @param {number} arc
   * @param {number} limit largest squared distance, in half pixels
   */
  simplify(arc, limit) {
    const { heap, keys, before, after } = this;
    this._removeSteps(arc, limit);
    for (let i = this.offsets[arc]; i < this.offsets[arc + 1]; i++) if (!this.removed[i]) this._enter(i);
    while (heap.size) {
      const i = heap.pop();
      const { key } = heap;
      if (this.removed[i] || keys[i] !== key) continue;
      keys[i] = -1;
      const [a, c] = [before[i], after[i]];
      if (!this._isSpare(arc, a, c)) continue;
      // On a straight line, a point makes no difference.
      if (key > LONGEST && (this._strays(arc, a, c, limit) || this._isOccupied(a, i, c))) continue;
      this._remove(arc, i);
      this._enter(a);
      this._enter(c);
    }
  }

  /**
   * Remove the corners at steps of one pixel, if the border turns the other way at the other end of the step. No other point
   * lies in their triangles: those are half a pixel high.
   *
   * @param {number} arc
   * @param {number} limit
   */
  _removeSteps(arc, limit) {
    const { xs, ys } = this;
    const [from, to] = [this.offsets[arc], this.offsets[arc + 1]];
    const closed = this.arcs.closed[arc] === 1;
    /** @type {(i: number) => number} */
    const wrapped = (i) => (i < from ? i + to - from : i >= to ? i - to + from : i);
    /** @type {(i: number) => number} */
    const turnAt = (i) => {
      if (!closed && (i === from || i === to - 1)) return 0;
      const [a, c] = [wrapped(i - 2), wrapped(i + 2)];
      return Math.sign(cross(xs[a], ys[a], xs[i], ys[i], xs[c], ys[c]));
    };
    /** @type {(i: number, j: number) => boolean} */
    const isStep = (i, j) =>
      Math.abs(xs[i] - xs[j]) + Math.abs(ys[i] - ys[j]) === 2 && turnAt(i) === -turnAt(j);
    for (let i = closed ? from : from + 2; i < (closed ? to : to - 2); i += 2) {
      if (!isStep(i, wrapped(i - 2)) && !isStep(i, wrapped(i + 2))) continue;
      if (!this._strays(arc, wrapped(i - 1), wrapped(i + 1), limit)) this._remove(arc, i);
    }
  }

  /** Put a point into the order of removal, unless it is the end of its arc. @param {number} i */
  _enter(i) {
    const { xs, ys } = this;
    const [a, c] = [this.before[i], this.after[i]];
    if (a < 0 || c < 0) return;
    const area = Math.abs(cross(xs[a], ys[a], xs[i], ys[i], xs[c], ys[c]));
    const length = (xs[c] - xs[a]) ** 2 + (ys[c] - ys[a]) ** 2;
    this.keys[i] = area * (LONGEST + 1) + Math.min(length, LONGEST);
    this.heap.push(this.keys[i], i);
  }

  /** @param {number} arc @param {number} i */
  _remove(arc, i) {
    this.removed[i] = 1;
    this.points[arc]--;
    this.after[this.before[i]] = this.after[i];
    this.before[this.after[i]] = this.before[i];
  }

  /**
   * Whether an arc can lose a point: a closed line keeps three, and no two lines join the same two junctions.
   *
   * @param {number} arc
   * @param {number} a the point before
   * @param {number} c the point after
   */
  _isSpare(arc, a, c) {
    const { ends, leaving, closed } = this.arcs;
    if (closed[arc]) return this.points[arc] > 3;
    const [start, end] = [ends[2 * arc + 1], ends[2 * arc]];
    if (start === end) return this.points[arc] > 4;
    if (this.before[a] >= 0 || this.after[c] >= 0) return true;
    for (let at = 4 * start; at < 4 * start + 4; at++) {
      const dart = leaving[at] - 1;
      if (dart >= 0 && this.points[dart >> 1] === 2 && ends[dart] === end) return false;
    }
    return true;
  }

  /**
   * Whether a corner of the exact border between two points lies too far from the line between them.
   *
   * @param {number} arc
   * @param {number} a
   * @param {number} c
   * @param {number} limit
   */
  _strays(arc, a, c, limit) {
    const { xs, ys } = this;
    const [from, to] = [this.offsets[arc], this.offsets[arc + 1]];
    const [ax, ay] = [xs[a], ys[a]];
    const [dx, dy] = [xs[c] - ax, ys[c] - ay];
    const square = dx * dx + dy * dy;
    let i = a + 2 - ((a - from) & 1); // corners have even places in their arc
    for (;;) {
      if (i >= to) i -= to - from; // only in a closed arc
      // From here on, i is a corner after a, at or before c.
      if (i === c || i === c + 1 || (i === from && c === to - 1)) return false;
      const [x, y] = [xs[i] - ax, ys[i] - ay];
      const along = x * dx + y * dy;
      if (along < 0) {
        if (x * x + y * y > limit) return true;
      } else if (along > square) {
        if ((x - dx) ** 2 + (y - dy) ** 2 > limit) return true;
      } else {
        const across = dx * y - dy * x;
        if (across * across > limit * square) return true;
      }
      i += 2;
    }
  }

  /**
   * Whether a point of the graph lies in a triangle, besides its own corners.
   *
   * @param {number} a
   * @param {number} b
   * @param {number} c
   */
  _isOccupied(a, b, c) {
    const { xs, ys, removed } = this;
    const { columns, offsets, items } = this.grid;
    const [ax, ay, cx, cy] = [xs[a], ys[a], xs[c], ys[c]];
    const [bx, by] = [xs[b], ys[b]];
    let [px, py, qx, qy] = [ax, ay, cx, cy];
    if (cross(ax, ay, bx, by, cx, cy) < 0) [px, py, qx, qy] = [cx, cy, ax, ay];
    const low = Math.min(ay, by, cy);
    const high = Math.max(ay, by, cy);
    for (let row = low >> CELL_BITS; row <= high >> CELL_BITS; row++) {
      const [left, right] = this._span(row, [ax, ay, bx, by, cx, cy]);
      const cell = row * columns;
      for (let k = offsets[cell + left]; k < offsets[cell + right + 1]; k++) {
        const i = items[k];
        if (removed[i]) continue;
        const [x, y] = [xs[i], ys[i]];
        if (
          cross(px, py, bx, by, x, y) >= 0 &&
          cross(bx, by, qx, qy, x, y) >= 0 &&
          cross(qx, qy, px, py, x, y) >= 0 &&
          !((x === ax && y === ay) || (x === bx && y === by) || (x === cx && y === cy))
        ) {
          return true;
        }
      }
    }
    return false;
  }

  /**
   * The cells of a row of the grid that a triangle may touch.
   *
   * @param {number} row
   * @param {number[]} corners x, y, x, y, x, y
   * @returns {[number, number]} the first and the last column
   */
  _span(row, corners) {
    const top = row << CELL_BITS;
    const bottom = top + (1 << CELL_BITS) - 1;
    let left = Infinity;
    let right = -Infinity;
    for (let i = 0; i < 6; i += 2) {
      let [x0, y0, x1, y1] = [corners[i], corners[i + 1], corners[(i + 2) % 6], corners[(i + 3) % 6]];
      if (y0 > y1) [x0, y0, x1, y1] = [x1, y1, x0, y0];
      if (y1 < top || y0 > bottom) continue;
      const slope = y1 > y0 ? (x1 - x0) / (y1 - y0) : 0;
      const ends =
        y1 > y0 ? [x0 + slope * Math.max(0, top - y0), x1 - slope * Math.max(0, y1 - bottom)] : [x0, x1];
      left = Math.min(left, ...ends);
      right = Math.max(right, ...ends);
    }
    // One half pixel more, because of rounding.
    return [Math.max(0, (left - 1) >> CELL_BITS), Math.min(this.grid.columns - 1, (right + 1) >> CELL_BITS)];
  }

  /** @returns {Arcs} with the points that are left */
  result() {
    const { arcs, points } = this;
    const offsets = new Int32Array(arcs.count + 1);
    for (let arc = 0; arc < arcs.count; arc++)
      offsets[arc + 1] = offsets[arc] + points[arc] + arcs.closed[arc];
    const xs = new Int32Array(offsets[arcs.count]);
    const ys = new Int32Array(offsets[arcs.count]);
    for (let arc = 0, to = 0; arc < arcs.count; arc++) {
      for (let i = this.offsets[arc]; i < this.offsets[arc + 1]; i++) {
        if (this.removed[i]) continue;
        xs[to] = this.xs[i];
        ys[to++] = this.ys[i];
      }
      if (!arcs.closed[arc]) continue;
      xs[to] = xs[offsets[arc]];
      ys[to++] = ys[offsets[arc]];
    }
    return { ...arcs, offsets, xs, ys };
  }
}

/**
 * Twice the area of a triangle; more than 0 if it turns from x to y, clockwise on the screen.
 *
 * @param {number} ax
 * @param {number} ay
 * @param {number} bx
 * @param {number} by
 * @param {number} cx
 * @param {number} cy
 */
export function cross(ax, ay, bx, by, cx, cy) {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}
