/**
 * The part of a map that a change covers, in pixels; x1 and y1 are exclusive. A caller redraws this part.
 *
 * @typedef {object} Box
 * @property {number} x0
 * @property {number} y0
 * @property {number} x1
 * @property {number} y1
 */

/**
 * Enlarge one of many boxes, so that it contains another box.
 *
 * @param {Int32Array | number[]} boxes x0, y0, x1, y1 of each box; x1 and y1 are exclusive
 * @param {number} at index of the box's x0
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 */
export function grow(boxes, at, x0, y0, x1, y1) {
  if (x0 < boxes[at]) boxes[at] = x0;
  if (y0 < boxes[at + 1]) boxes[at + 1] = y0;
  if (x1 > boxes[at + 2]) boxes[at + 2] = x1;
  if (y1 > boxes[at + 3]) boxes[at + 3] = y1;
}
