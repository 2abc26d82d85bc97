// Writes PNG files of whole numbers, for guidance.

import { writePNG } from '../src/exports/png.js';

const GRAY = 0;
const RGB = 2;

/**
 * Write whole numbers as a gray PNG of 8 or 16 bits, or as RGB: R + 256 G + 65,536 B.
 *
 * @param {ArrayLike<number>} values height * width, each below 2^24
 * @param {number} width pixels
 * @param {number} height pixels
 * @returns {Promise<Blob>}
 */
export async function writeNumbers(values, width, height) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  const size = most < 256 ? 1 : most < 65_536 ? 2 : 3;
  const bytes = new Uint8Array(size * values.length);
  for (let i = 0, at = 0; i < values.length; i++) {
    const value = values[i];
    if (size === 2) bytes[at++] = value >> 8;
    bytes[at++] = value;
    if (size === 3) bytes[at++] = value >> 8;
    if (size === 3) bytes[at++] = value >> 16;
  }
  const [depth, kind] = [size === 2 ? 16 : 8, size === 3 ? RGB : GRAY];
  const file = await writePNG({ width, height, depth, kind, bytes });
  return new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (file)], { type: 'image/png' });
}
