// Borders between pieces as a graph. service/superpixel_service/client/topology/arcs.py finds the same arcs, function by function.

/**
 * The borders between pieces, and the frame of the image, as lines between junctions.
 *
 * A junction is a point where three or four borders meet, also where two pixels touch only by a corner, or a corner of the
 * image. An arc is the border from one junction to the next, or a closed line without a junction; its first point is then
 * repeated at its end. An arc has two *darts*: 2 * arc leads along it, 2 * arc + 1 leads back.
 *
 * @typedef {object} Arcs
 * @property {number} count
 * @property {Int32Array} offsets count + 1: the first point of each arc
 * @property {Int32Array} xs
 * @property {Int32Array} ys
 * @property {Int32Array} pieces 2 * count: the piece to the right of each dart; 0 outside the image
 * @property {Int32Array} next 2 * count: the dart that follows on the outline of the piece to the right
 * @property {Uint8Array} closed count: 1 if the arc has no junction
 * @property {Int32Array} ends 2 * count: the number of the junction at which each dart ends
 * @property {Int32Array} leaving 4 per junction: 1 + each dart that leaves it, or 0
 */

/** Marks in the array of edges, above one bit per direction (right, down, left, up). */
const JUNCTION = 16;
const SEEN = 32;

/** Bits of the directions in which borders leave a point, if there are three or four. */
const isJunction = [7, 11, 13, 14, 15].reduce(
  (table, bits) => ((table[bits] = 1), table),
  new Uint8Array(16),
);

/** The direction of a single bit. */
const DIRECTION = [0, 0, 1, 0, 2, 0, 0, 0, 3];

/**
 * Find the arcs, along pixel edges. Their points are the corners at which they turn, in pixels.
 *
 * @param {import('../pieces.js').Pieces} found every pixel belongs to a piece
 * @returns {Arcs}
 */
export function findArcs({ ids, stride }) {
  const wide = stride - 1; // points per row
  const high = ids.length / stride - 1;
  const edges = findEdges(ids, stride);
  let corners = 0;
  let darts = 0;
  let junctions = 0;
  for (const bits of edges) {
    if (bits & JUNCTION) {
      junctions++;
      darts += (bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1) + ((bits >> 3) & 1);
    } else if (bits === 3 || bits === 6 || bits === 9 || bits === 12) corners++;
  }
  // A closed arc has at least four corners, the first of them twice.
  const most = (darts >> 1) + (corners >> 2);
  const size = darts + corners + (corners >> 2);
  const xs = new Int32Array(size);
  const ys = new Int32Array(size);
  const offsets = new Int32Array(most + 1);
  const pieces = new Int32Array(2 * most);
  const next = new Int32Array(2 * most);
  const closed = new Uint8Array(most);
  const ends = new Int32Array(2 * most);
  const last = new Uint8Array(2 * most); // direction of each dart at its end
  const leaving = new Int32Array(4 * junctions); // by direction
  const number = new Int32Array(wide * high); // of each junction
  const places = new Int32Array(junctions);
  const step = [1, wide, -1, -wide];
  const ahead = [stride + 1, stride, 0, 1]; // the pixel to the right after a step, by direction
  let count = 0;
  let points = 0;

  /** @type {(x: number, y: number, direction: number) => void} */
  const trace = (x, y, direction) => {
    const start = y * wide + x;
    let [at, way] = [start, direction];
    const right = ids[y * stride + x + ahead[direction]];
    const left = ids[y * stride + x + ahead[(direction + 3) % 4]];
    pieces[2 * count] = right;
    pieces[2 * count + 1] = left;
    offsets[count] = points;
    xs[points] = x;
    ys[points++] = y;
    for (;;) {
      at += step[way];
      if (way === 0) x++;
      else if (way === 1) y++;
      else if (way === 2) x--;
      else y--;
      const bits = edges[at];
      if (bits & JUNCTION) break;
      if (bits & (1 << way)) continue;
      xs[points] = x;
      ys[points++] = y;
      edges[at] = bits | SEEN;
      way = DIRECTION[bits & 15 & ~(1 << ((way + 2) % 4))];
    }
    xs[points] = x;
    ys[points++] = y;
    last[2 * count] = way;
    last[2 * count + 1] = (direction + 2) % 4;
    ends[2 * count] = number[at];
    ends[2 * count + 1] = number[start];
    count++;
  };

  for (let at = 0, found = 0; at < edges.length; at++) {
    if (!(edges[at] & JUNCTION)) continue;
    places[found] = at;
    number[at] = found++;
  }
  for (let junction = 0; junction < junctions; junction++) {
    const at = places[junction];
    for (let direction = 0; direction < 4; direction++) {
      if (!(edges[at] & (1 << direction)) || leaving[4 * junction + direction]) continue;
      trace(at % wide, Math.floor(at / wide), direction);
      leaving[4 * junction + direction] = 2 * count - 1;
      leaving[4 * ends[2 * count - 2] + ((last[2 * count - 2] + 2) % 4)] = 2 * count;
    }
  }
  const open = count;
  for (let at = 0; at < edges.length; at++) {
    if (edges[at] !== 3) continue; // the first point of a closed arc, row by row, turns from right to down
    edges[at] |= JUNCTION;
    trace(at % wide, Math.floor(at / wide), 0);
    closed[count - 1] = 1;
  }

  for (let dart = 0; dart < 2 * count; dart++) {
    next[dart] = dart;
    if (dart >> 1 >= open) continue;
    const way = last[dart];
    const at = places[ends[dart]];
    const corner = Math.floor(at / wide) * stride + (at % wide);
    const piece = pieces[dart];
    // Turn left if that stays at the piece: no outline passes a point twice, as in a valid polygon.
    let turned = (way + 1) % 4;
    if (ids[corner + ahead[(way + 3) % 4]] === piece) turned = (way + 3) % 4;
    else if (ids[corner + ahead[way]] === piece) turned = way;
    next[dart] = leaving[4 * ends[dart] + turned] - 1;
  }
  return {
    count,
    offsets: trimmed(offsets, count, points),
    xs: xs.subarray(0, points),
    ys: ys.subarray(0, points),
    pieces: pieces.subarray(0, 2 * count),
    next: next.subarray(0, 2 * count),
    closed: closed.subarray(0, count),
    ends: ends.subarray(0, 2 * count),
    leaving,
  };
}

/** @param {Int32Array} offsets @param {number} count @param {number} points */
function trimmed(offsets, count, points) {
  offsets[count] = points;
  return offsets.subarray(0, count + 1);
}

/**
 * The borders that leave each point of the pixel grid.
 *
 * @param {Int32Array} ids of pieces, with the frame of one pixel
 * @param {number} stride
 * @returns {Uint8Array} (height + 1) * (width + 1): a bit per direction; `JUNCTION` too where that applies
 */
function findEdges(ids, stride) {
  const wide = stride - 1;
  const high = ids.length / stride - 1;
  const edges = new Uint8Array(wide * high);
  for (let y = 0, to = 0; y < high; y++) {
    let at = y * stride;
    let northWest = ids[at];
    let southWest = ids[at + stride];
    for (let x = 0; x < wide; x++, to++) {
      const northEast = ids[++at];
      const southEast = ids[at + stride];
      if (northEast !== southEast || northEast !== northWest || southEast !== southWest) {
        const bits =
          (northEast !== southEast ? 1 : 0) |
          (southWest !== southEast ? 2 : 0) |
          (northWest !== southWest ? 4 : 0) |
          (northWest !== northEast ? 8 : 0);
        edges[to] = bits | (isJunction[bits] ? JUNCTION : 0);
      }
      northWest = northEast;
      southWest = southEast;
    }
  }
  for (const corner of [0, wide - 1, (high - 1) * wide, high * wide - 1]) edges[corner] |= JUNCTION;
  return edges;
}
