// The connected pieces of a picture: gaps, holes and specks.

/**
 * A 4-connected piece of pixels that have the same value.
 *
 * @typedef {object} Piece
 * @property {number} value
 * @property {number} area pixels
 * @property {[number, number, number, number]} box x0, y0, x1, y1; x1 and y1 are exclusive
 */

/**
 * The pieces of a picture, from its runs: pixels of a row that have the same value.
 *
 * @param {ArrayLike<number>} values height * width
 * @param {number} width
 * @param {number} height
 */
export function findPieces(values, width, height) {
  /** Start and value of each run; `rows[y]` is the first run of row y. */
  const starts = [];
  const rows = new Int32Array(height + 1);
  for (let y = 0, at = 0; y < height; y++) {
    rows[y] = starts.length;
    for (const end = at + width; at < end;) {
      const value = values[at];
      starts.push(at);
      while (at < end && values[at] === value) at++;
    }
  }
  rows[height] = starts.length;
  starts.push(width * height);
  const parent = Int32Array.from({ length: starts.length - 1 }, (_, i) => i);
  /** @param {number} i */
  const root = (i) => {
    while (parent[i] !== i) {
      parent[i] = parent[parent[i]];
      i = parent[i];
    }
    return i;
  };
  for (let y = 1; y < height; y++) {
    for (let above = rows[y - 1], run = rows[y]; above < rows[y] && run < rows[y + 1];) {
      if (values[starts[above]] === values[starts[run]]) {
        const [a, b] = [root(above), root(run)];
        parent[Math.max(a, b)] = Math.min(a, b);
      }
      const [endAbove, end] = [starts[above + 1] + width, starts[run + 1]];
      if (endAbove <= end) above++;
      if (end <= endAbove) run++;
    }
  }
  /** @type {Piece[]} */
  const pieces = [];
  const numbers = new Int32Array(parent.length); // the piece of each run
  for (let y = 0; y < height; y++) {
    for (let run = rows[y]; run < rows[y + 1]; run++) {
      const first = root(run);
      const [x0, length] = [starts[run] - y * width, starts[run + 1] - starts[run]];
      if (first === run) {
        numbers[run] = pieces.length;
        pieces.push({ value: values[starts[run]], area: 0, box: [x0, y, x0, y + 1] });
      } else numbers[run] = numbers[first];
      const { box } = pieces[numbers[run]];
      pieces[numbers[run]].area += length;
      box[0] = Math.min(box[0], x0);
      box[2] = Math.max(box[2], x0 + length);
      box[3] = y + 1;
    }
  }
  return { pieces, starts, rows, numbers };
}

/**
 * Give small pieces the value that most of their border has: the value of another piece.
 *
 * @param {ReturnType<typeof findPieces>} found
 * @param {number} width
 * @param {number} height
 * @param {(piece: Piece) => boolean} small which pieces change
 * @param {(value: number) => boolean} taken which values they may get
 * @returns {Map<number, number[]>} runs (start and length) by their new value
 */
export function absorb({ pieces, starts, rows, numbers }, width, height, small, taken) {
  const changes = pieces.map(small);
  /** Border length with each value, of each piece that changes. @type {Map<number, Map<number, number>>} */
  const borders = new Map();
  /** @type {(a: number, b: number, length: number) => void} */
  const meet = (a, b, length) => {
    for (const [piece, other] of [
      [a, b],
      [b, a],
    ]) {
      // prettier-ignore
      const { value } = pieces[other];
      if (!changes[piece] || changes[other] || value === pieces[piece].value || !taken(value)) continue;
      const border = borders.get(piece) ?? new Map();
      borders.set(piece, border.set(value, (border.get(value) ?? 0) + length));
    }
  };
  for (let y = 0; y < height; y++) {
    for (let run = rows[y] + 1; run < rows[y + 1]; run++) meet(numbers[run - 1], numbers[run], 1);
    if (!y) continue;
    for (let above = rows[y - 1], run = rows[y]; above < rows[y] && run < rows[y + 1];) {
      const [endAbove, end] = [starts[above + 1] + width, starts[run + 1]];
      const from = Math.max(starts[above] + width, starts[run]);
      meet(numbers[above], numbers[run], Math.min(endAbove, end) - from);
      if (endAbove <= end) above++;
      if (end <= endAbove) run++;
    }
  }
  /** @type {Map<number, number[]>} */
  const runs = new Map();
  const wins = new Map([...borders].map(([piece, border]) => [piece, longest(border)]));
  numbers.forEach((piece, run) => {
    const value = wins.get(piece);
    if (value === undefined) return;
    const list = runs.get(value) ?? [];
    list.push(starts[run], starts[run + 1] - starts[run]);
    runs.set(value, list);
  });
  return runs;
}

/** @param {Map<number, number>} border @returns {number} the value with the longest border; of equal ones the smallest */
function longest(border) {
  let best = -1;
  for (const [value, length] of border) {
    const most = border.get(best) ?? 0;
    if (length > most || (length === most && value < best)) best = value;
  }
  return best;
}
