// Masks to polygons. service/superpixel_service/client/outlines.py makes the same rings, function by function.

/** @typedef {import('../pieces.js').Pieces} Pieces */

/**
 * The outlines of all pieces, along pixel edges, with the piece on the right.
 *
 * @param {Pieces} found
 * @param {boolean} simple at a point where two pixels touch only by a corner: true: two rings touch, and no ring passes
 *   twice, as in a valid polygon; false: the ring stays with its pixel, so that it can be moved inwards
 * @returns {number[][][]} rings of each piece as corners x, y, x, y, ...: first the outer ring, from the piece's first pixel;
 *   then the holes, each from its first pixel
 */
export function traceRings({ ids, stride, pieces }, simple) {
  /** @type {number[][][]} */
  const rings = pieces.map(() => []);
  // By direction (right, down, left, up): offsets of the pixels ahead of a corner from its upper left pixel.
  const aheadLeft = [1, stride + 1, stride, 0];
  const aheadRight = [stride + 1, stride, 0, 1];
  // Upper edges of pixels that a ring passed: 1 to the right, 2 to the left.
  const passed = new Uint8Array(ids.length);
  /** @type {(id: number, x: number, y: number, direction: number) => void} */
  const trace = (id, startX, startY, start) => {
    const ring = [startX, startY];
    let [x, y, direction] = [startX, startY, start];
    for (;;) {
      if (direction === 0) passed[(y + 1) * stride + ++x] |= 1;
      else if (direction === 2) passed[(y + 1) * stride + x--] |= 2;
      else y += direction === 1 ? 1 : -1;
      const corner = y * stride + x;
      const left = ids[corner + aheadLeft[direction]] === id;
      const right = ids[corner + aheadRight[direction]] === id;
      let turned = direction;
      if (left && (right || simple)) turned = (direction + 3) % 4;
      else if (!right) turned = (direction + 1) % 4;
      if (x === startX && y === startY && turned === start) break;
      if (turned !== direction) ring.push(x, y);
      direction = turned;
    }
    rings[id - 1].push(ring);
  };
  for (let at = stride; at < ids.length; at++) {
    const id = ids[at];
    const above = ids[at - stride];
    if (id === above) continue;
    const x = (at % stride) - 1;
    const y = Math.floor(at / stride) - 1;
    if (above && !(passed[at] & 2)) trace(above, x, y, 1);
    if (id && !(passed[at] & 1)) trace(id, x, y, 0);
  }
  return rings;
}

/**
 * Join all rings of each piece into one, for formats without holes. A bridge leads left from each hole to the next ring and
 * back the same way.
 *
 * @param {Pieces} found
 * @param {boolean} inside false: along pixel edges; true: through the centres of the outermost pixels, also the bridges
 * @returns {number[][]} ring of each piece: corners x, y, x, y, ... in half pixels
 */
export function joinRings(found, inside) {
  const { ids, stride } = found;
  return traceRings(found, false).map((rings, piece) => {
    const id = piece + 1;
    // The end of each hole's bridge: the left edge of a pixel of the piece, in the row above the hole.
    /** @type {Map<number, { row: number, hole: number }[]>} by x */
    const bridges = new Map();
    for (let hole = 1; hole < rings.length; hole++) {
      const [holeX, holeY] = rings[hole];
      let x = holeX - 1;
      while (ids[holeY * stride + x] === id) x--;
      const ends = bridges.get(x) ?? [];
      ends.push({ row: holeY - 1, hole });
      bridges.set(x, ends);
    }
    const attached = rings.map((ring) => bridgesOn(ring, bridges));
    return emit(
      rings.map((ring) => (inside ? movedInside(ring) : ring.map((value) => 2 * value))),
      attached,
      inside ? 1 : 0,
    );
  });
}

/** @typedef {{ edge: number, x: number, row: number, hole: number }} Bridge */

/**
 * @param {number[]} ring
 * @param {Map<number, { row: number, hole: number }[]>} bridges
 * @returns {Bridge[]} those that end on this ring, in the order of the ring
 */
function bridgesOn(ring, bridges) {
  /** @type {Bridge[]} */
  const found = [];
  for (let edge = 0; 2 * edge < ring.length; edge++) {
    const [x, y] = [ring[2 * edge], ring[2 * edge + 1]];
    const nextY = ring[(2 * edge + 3) % ring.length];
    if (nextY >= y) continue; // the piece lies to the right of upward edges only
    for (const { row, hole } of bridges.get(x) ?? []) {
      if (nextY <= row && row < y) found.push({ edge, x, row, hole });
    }
  }
  return found.sort((a, b) => a.edge - b.edge || b.row - a.row || a.hole - b.hole);
}

/**
 * Move each corner by half a pixel on both axes, into the piece.
 *
 * @param {number[]} ring
 * @returns {number[]} in half pixels: pixel centres
 */
function movedInside(ring) {
  const size = ring.length;
  return ring.map((value, i) => {
    // The vertical edge at the corner gives the direction along x, the horizontal one that along y.
    const isX = i % 2 === 0;
    const other = isX ? i + 1 : i - 1;
    const before = ring[other] - ring[(other + size - 2) % size];
    const after = ring[(other + 2) % size] - ring[other];
    return 2 * value + Math.sign(before || after) * (isX ? -1 : 1);
  });
}

/**
 * Walk the outer ring, and walk each hole when its bridge is reached.
 *
 * @param {number[][]} rings in half pixels
 * @param {Bridge[][]} attached bridges on each ring
 * @param {number} inside half pixels by which bridges lie inside the piece
 * @returns {number[]} one ring
 */
function emit(rings, attached, inside) {
  /** @type {number[]} */
  const out = [];
  /** @type {(x: number, y: number) => void} */
  const add = (x, y) => {
    if (x !== out[out.length - 2] || y !== out[out.length - 1]) out.push(x, y);
  };
  // Holes can hang on holes to any depth, so this uses a stack, not recursion. x, y: the end of the ring's bridge.
  const stack = [{ ring: 0, corner: 0, bridge: 0, x: 0, y: 0 }];
  while (stack.length) {
    const top = stack[stack.length - 1];
    const ring = rings[top.ring];
    const bridge = attached[top.ring][top.bridge];
    if (2 * top.corner < ring.length && bridge?.edge !== top.corner - 1) {
      add(ring[2 * top.corner], ring[2 * top.corner + 1]);
      top.corner++;
    } else if (bridge) {
      top.bridge++;
      const [x, y] = [2 * bridge.x + inside, 2 * (bridge.row + 1) - inside];
      add(x, y);
      stack.push({ ring: bridge.hole, corner: 0, bridge: 0, x, y });
    } else {
      stack.pop();
      if (stack.length) {
        add(ring[0], ring[1]);
        add(top.x, top.y);
      }
    }
  }
  if (out.length > 2 && out[0] === out[out.length - 2] && out[1] === out[out.length - 1]) out.length -= 2;
  return out;
}
