// The pieces of an annotation, grouped as exports need them.

import { grow } from '../boxes.js';

/**
 * @param {import('../pieces.js').Piece[]} pieces
 * @returns {import('../pieces.js').Piece[][]}
 */
export function byClass(pieces) {
  /** @type {import('../pieces.js').Piece[][]} */
  const groups = [];
  for (const piece of pieces) (groups[piece.value] ??= []).push(piece);
  return groups.filter(Boolean);
}

/** @param {import('../pieces.js').Piece[]} pieces */
export function boxAround(pieces) {
  const box = pieces[0].box.slice();
  for (const piece of pieces) grow(box, 0, ...piece.box);
  return box;
}
