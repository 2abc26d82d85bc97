// Finds gaps, holes and specks outside the page's thread.

import { findRuns } from '../src/pieces.js';
import { absorb } from './pieces.js';

/** Gaps that the page can visit. */
const MOST_GAPS = 1000;

/**
 * @typedef {object} Request
 * @property {Uint16Array} values height * width: class or object of each pixel; 0 for none
 * @property {number} width
 * @property {number} height
 * @property {'gaps' | 'holes' | 'specks'} what
 * @property {number} limit the largest area of a hole or a speck, in pixels
 * @property {number[]} kept values whose specks stay
 */

/** @param {MessageEvent<Request>} event */
self.onmessage = ({ data: { values, width, height, what, limit, kept } }) => {
  const found = findRuns({ mask: values, width, height }, true);
  if (what === 'gaps') {
    const gaps = found.pieces.filter(({ value }) => value === 0).sort((a, b) => b.area - a.area);
    self.postMessage({ total: gaps.length, gaps: gaps.slice(0, MOST_GAPS) });
    return;
  }
  const stays = new Set(kept);
  const isHole = what === 'holes';
  const small = (/** @type {import('./pieces.js').Piece} */ { value, area }) =>
    area <= limit && (isHole ? value === 0 : value !== 0 && !stays.has(value));
  const runs = absorb(found, width, height, small, (value) => !isHole || value !== 0);
  self.postMessage({ runs: [...runs] });
};
