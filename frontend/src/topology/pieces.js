import { grow } from '../boxes.js';

/** @typedef {import('../outlines.js').Piece} Piece */

/**
 * Find the 4-connected pieces of equal labels. Every pixel belongs to one.
 *
 * @param {ArrayLike<number>} labels height * width: integers
 * @param {number} width
 * @param {number} height
 * @returns {import('../outlines.js').Pieces} its ids have a frame of zeros
 */
export function piecesOf(labels, width, height) {
  let count = 0;
  for (let y = 0, i = 0; y < height; y++) {
    count++;
    for (const end = ++i + width - 1; i < end; i++) if (labels[i] !== labels[i - 1]) count++;
  }
  // Runs of equal labels within a row. Each has a run of the same piece that comes before it, or itself.
  const starts = new Int32Array(count + 1);
  const before = new Int32Array(count);
  /** @type {(run: number) => number} */
  const root = (run) => {
    while (before[run] !== run) {
      before[run] = before[before[run]];
      run = before[run];
    }
    return run;
  };
  starts[count] = labels.length;
  for (let y = 0, i = 0, run = 0, above = 0; y < height; y++) {
    const rowEnd = i + width;
    while (i < rowEnd) {
      const label = labels[i];
      const start = i;
      while (++i < rowEnd && labels[i] === label);
      starts[run] = start;
      before[run] = run;
      if (y > 0) {
        // The last run above this one may reach over the next one, too.
        while (starts[above + 1] + width <= start) above++;
        for (let other = above; starts[other] + width < i; other++) {
          if (labels[starts[other]] !== label) continue;
          const [a, b] = [root(other), root(run)];
          if (a < b) before[b] = a;
          else before[a] = b;
        }
      }
      run++;
    }
  }
  const stride = width + 2;
  const ids = new Int32Array(stride * (height + 2));
  const idOf = new Int32Array(count);
  /** @type {Piece[]} */
  const pieces = [];
  for (let run = 0, y = 0; run < count; run++) {
    while (starts[run] >= (y + 1) * width) y++;
    const x0 = starts[run] - y * width;
    const x1 = starts[run + 1] - y * width;
    if (before[run] === run) {
      idOf[run] = pieces.push({
        id: pieces.length + 1,
        value: labels[starts[run]],
        area: 0,
        box: [x0, y, x1, y + 1],
      });
    } else {
      idOf[run] = idOf[before[run]];
    }
    const piece = pieces[idOf[run] - 1];
    piece.area += x1 - x0;
    grow(piece.box, 0, x0, y, x1, y + 1);
    const at = (y + 1) * stride + 1;
    ids.fill(idOf[run], at + x0, at + x1);
  }
  return { ids, stride, pieces };
}
