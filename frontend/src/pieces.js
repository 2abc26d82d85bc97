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
 * Find the 4-connected pieces of all values.
 *
 * @param {object} picture
 * @param {Uint8Array | Uint16Array} picture.mask height * width: 0 for no piece
 * @param {number} picture.width
 * @param {number} picture.height
 * @returns {Pieces}
 */
export function findPieces({ mask, width, height }) {
  const stride = width + 2;
  const ids = new Int32Array(stride * (height + 2));
  /** @type {number[]} */
  const parent = [0];
  /** @type {(i: number) => number} */
  const root = (i) => {
    while (parent[i] !== i) {
      parent[i] = parent[parent[i]];
      i = parent[i];
    }
    return i;
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, at = stride * (y + 1) + 1; x < width; x++, i++, at++) {
      const value = mask[i];
      if (value === 0) continue;
      const left = x > 0 && mask[i - 1] === value ? root(ids[at - 1]) : 0;
      const above = y > 0 && mask[i - width] === value ? root(ids[at - stride]) : 0;
      if (!left && !above) parent.push(parent.length);
      else if (left && above) parent[Math.max(left, above)] = Math.min(left, above);
      ids[at] = left && above ? Math.min(left, above) : left || above || parent.length - 1;
    }
  }
  /** @type {Piece[]} */
  const pieces = [];
  const final = new Int32Array(parent.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, at = stride * (y + 1) + 1; x < width; x++, i++, at++) {
      if (ids[at] === 0) continue;
      const top = root(ids[at]);
      if (final[top] === 0) {
        pieces.push({ id: pieces.length + 1, value: mask[i], area: 0, box: [x, y, x, y] });
        final[top] = pieces.length;
      }
      ids[at] = final[top];
      const piece = pieces[final[top] - 1];
      piece.area++;
      grow(piece.box, 0, x, y, x + 1, y + 1);
    }
  }
  return { ids, stride, pieces };
}
