/**
 * Which pixel of a row each pixel of a shorter or longer row shows: the nearest one.
 *
 * @param {number} from pixels of the row
 * @param {number} to pixels of the other row
 * @returns {Int32Array} to: places in the row
 */
export const nearest = (from, to) =>
  Int32Array.from({ length: to }, (_, i) => Math.floor(((2 * i + 1) * from) / (2 * to)));
