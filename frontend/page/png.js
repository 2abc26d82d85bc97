// Writes PNG files of whole numbers, for guidance.

import { chunk } from '../src/exports/png.js';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

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
export async function writePNG(values, width, height) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  const size = most < 256 ? 1 : most < 65_536 ? 2 : 3;
  const rows = new Uint8Array(height * (1 + size * width));
  for (let y = 0, at = 0; y < height; y++) {
    at++; // the filter: none
    for (let x = 0; x < width; x++) {
      const value = values[y * width + x];
      if (size === 2) rows[at++] = value >> 8;
      rows[at++] = value;
      if (size === 3) rows[at++] = value >> 8;
      if (size === 3) rows[at++] = value >> 16;
    }
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([size === 2 ? 16 : 8, size === 3 ? RGB : GRAY], 8);
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
  const data = new Uint8Array(await new Response(deflated).arrayBuffer());
  const parts = [chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', new Uint8Array(0))];
  return new Blob([Uint8Array.from(SIGNATURE), ...parts], { type: 'image/png' });
}
