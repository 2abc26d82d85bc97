// Gaps, holes and specks: what becomes of small pieces.

/** @typedef {import('../src/pieces.js').Piece} Piece */

/**
 * Give small pieces the value that most of their border has: the value of another piece.
 *
 * @param {import('../src/pieces.js').PieceRuns} found every pixel belongs to a piece
 * @param {number} width
 * @param {number} height
 * @param {(piece: Piece) => boolean} small which pieces change
 * @param {(value: number) => boolean} taken which values they may get
 * @returns {Map<number, number[]>} runs (start and length) by their new value
 */
export function absorb({ pieces, starts, idOf }, width, height, small, taken) {
  const numbers = idOf.map((id) => id - 1);
  /** The first run of each row. */
  const rows = new Int32Array(height + 1).fill(numbers.length);
  for (let run = 0, y = 0; y < height; run++) if (starts[run] === y * width) rows[y++] = run;
  const changes = pieces.map(small);
  /** Border length with each value, of each piece that changes. @type {Map<number, Map<number, number>>} */
  const borders = new Map();
  /** @type {(a: number, b: number, length: number) => void} */
  const meet = (a, b, length) => {
    for (const [piece, other] of [
      [a, b],
      [b, a],
    ]) {
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
