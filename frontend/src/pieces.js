// Connected pieces of a mask. service/superpixel_service/client/outlines.py finds the same ones, in the same order.

import { grow } from './boxes.js';

/**
 * A 4-connected piece of one value.
 *
 * @typedef {object} Piece
 * @property {number} id 1, 2, ... in the order of first pixels, row by row
 * @property {number} value a class, or an object
 * @property {number} area pixels
 * @property {[number, number, number, number]} box x0, y0, x1, y1 in pixels; x1 and y1 are exclusive
 */

/**
 * The pieces of a mask.
 *
 * @typedef {object} Pieces
 * @property {Int32Array} ids (height + 2) * stride: the piece of each pixel, 0 for none; the frame of one pixel is 0
 * @property {number} stride width + 2
 * @property {Piece[]} pieces
 */

/**
 * @typedef {object} Picture
 * @property {ArrayLike<number>} mask height * width: integers, 0 for no piece
 * @property {number} width
 * @property {number} height
 */

/**
 * The pieces of a mask as runs: pixels of one value within a row.
 *
 * @typedef {object} PieceRuns
 * @property {Int32Array} starts the first pixel of each run, row by row; at the end the number of pixels
 * @property {Int32Array} idOf the piece of each run, 0 for none
 * @property {Piece[]} pieces
 */

/**
 * Find the 4-connected pieces of all values.
 *
 * @param {Picture} picture
 * @param {boolean} [all] true: pixels of the value 0 form pieces, too
 * @returns {Pieces}
 */
export function findPieces(picture, all) {
  const { width, height } = picture;
  const { starts, idOf, pieces } = findRuns(picture, all);
  const stride = width + 2;
  const ids = new Int32Array(stride * (height + 2));
  for (let run = 0, y = 0; run < idOf.length; run++) {
    while (starts[run] >= (y + 1) * width) y++;
    const shift = stride + 1 + 2 * y; // the frame
    ids.fill(idOf[run], shift + starts[run], shift + starts[run + 1]);
  }
  return { ids, stride, pieces };
}

/**
 * Find the 4-connected pieces of all values, without an array of all pixels.
 *
 * @param {Picture} picture
 * @param {boolean} [all] true: pixels of the value 0 form pieces, too
 * @returns {PieceRuns}
 */
export function findRuns({ mask, width, height }, all = false) {
  let count = 0;
  for (let y = 0, i = 0; y < height; y++) {
    count++;
    for (const end = ++i + width - 1; i < end; i++) if (mask[i] !== mask[i - 1]) count++;
  }
  // Each run leads to a run of the same piece that comes before it, or to itself.
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
  starts[count] = mask.length;
  for (let y = 0, i = 0, run = 0, above = 0; y < height; y++) {
    for (const end = i + width; i < end; run++) {
      const start = i;
      const value = mask[start];
      while (++i < end && mask[i] === value);
      starts[run] = start;
      before[run] = run;
      if (y === 0) continue;
      while (starts[above + 1] + width <= start) above++;
      for (let other = above; starts[other] + width < i; other++) {
        if (mask[starts[other]] !== value) continue;
        const [a, b] = [root(other), root(run)];
        before[Math.max(a, b)] = Math.min(a, b);
      }
    }
  }
  const idOf = new Int32Array(count);
  /** @type {Piece[]} */
  const pieces = [];
  for (let run = 0, y = 0; run < count; run++) {
    const value = mask[starts[run]];
    if (value === 0 && !all) continue;
    while (starts[run] >= (y + 1) * width) y++;
    const x0 = starts[run] - y * width;
    const x1 = starts[run + 1] - y * width;
    if (before[run] === run) {
      idOf[run] = pieces.push({ id: pieces.length + 1, value, area: 0, box: [x0, y, x1, y + 1] });
    }
    const id = (idOf[run] = idOf[before[run]]);
    const piece = pieces[id - 1];
    piece.area += x1 - x0;
    grow(piece.box, 0, x0, y, x1, y + 1);
  }
  return { starts, idOf, pieces };
}
