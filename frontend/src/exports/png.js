import { checkColor } from '../annotation.js';
import { crc32 } from '../inflate.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * An 8-bit indexed PNG. The pixel value is the class, 0 for no class; the palette holds the colours of the classes.
 *
 * @param {Annotation} annotation
 * @returns {Promise<Uint8Array>} the file; rejects with `INVALID_ARGUMENT` if a colour is not `#rrggbb`
 */
export async function toIndexedPNG({ mask, width, height, classes }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 3], 8);
  const palette = [0, 0, 0, ...classes.flatMap(({ color }) => bytesOf(color))];
  const deflated = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate')));
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    chunk('PLTE', Uint8Array.from(palette)),
    chunk('IDAT', new Uint8Array(await deflated.arrayBuffer())),
    chunk('IEND', new Uint8Array(0)),
  ];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** @param {string} color */
function bytesOf(color) {
  checkColor(color, 'INVALID_ARGUMENT');
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/**
 * A chunk of a PNG file.
 *
 * @param {string} type
 * @param {Uint8Array} data
 */
export function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
