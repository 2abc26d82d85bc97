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
  const palette = Uint8Array.from([0, 0, 0, ...classes.flatMap(({ color }) => bytesOf(color))]);
  return writePNG({ width, height, depth: 8, kind: 3, bytes: mask, palette });
}

/**
 * @param {string} color `#rrggbb`
 * @returns {number[]} its bytes: red, green, blue
 */
export function bytesOf(color) {
  checkColor(color, 'INVALID_ARGUMENT');
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/**
 * @param {object} picture
 * @param {number} picture.width
 * @param {number} picture.height
 * @param {number} picture.depth bits of a sample
 * @param {number} picture.kind PNG's colour type: 0 gray, 2 RGB, 3 indexed
 * @param {Uint8Array} picture.bytes of all pixels, row by row
 * @param {Uint8Array} [picture.palette]
 * @returns {Promise<Uint8Array>} a PNG file
 */
export async function writePNG({ width, height, depth, kind, bytes, palette }) {
  const size = bytes.length / height;
  const rows = new Uint8Array((size + 1) * height);
  for (let y = 0; y < height; y++) rows.set(bytes.subarray(y * size, (y + 1) * size), y * (size + 1) + 1);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([depth, kind], 8);
  const deflated = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate')));
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    ...(palette ? [chunk('PLTE', palette)] : []),
    chunk('IDAT', new Uint8Array(await deflated.arrayBuffer())),
    chunk('IEND', new Uint8Array(0)),
  ];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * A chunk of a PNG file.
 *
 * @param {string} type
 * @param {Uint8Array} data
 */
function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
