/** Reads PNG files exactly: a browser's own decoder loses palette indexes and 16-bit values. */

import { checkSize, fail } from '../imports/checks.js';
import { hex } from '../imports/colors.js';

const SHORT = 'has fewer pixels than its header says';

/** Bytes that one byte of deflate can become at most. */
const MAX_RATIO = 1032;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const GRAY = 0;
const RGB = 2;
const PALETTE = 3;

/** Samples per pixel, by colour type. @type {Record<number, number>} */
const CHANNELS = { [GRAY]: 1, [RGB]: 3, [PALETTE]: 1, 4: 2, 6: 4 };

/** Offset and step of the pixels of each pass, x and y (Adam7), and of a file without interlacing. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
const ONE_PASS = [[0, 0, 1, 1]];

/**
 * @typedef {object} Header
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} depth bits per sample
 * @property {number} type the colour type
 * @property {number} interlace 0 or 1
 */

/**
 * A picture as numbers.
 *
 * @typedef {object} Picture
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint32Array} values height * width: gray, the index in the palette, or R + 256 G + 65,536 B; 0 where transparent
 * @property {number} most the largest gray that the file can contain; 0 if it is not gray
 * @property {string[] | null} palette `#rrggbb` of each index
 */

/**
 * @param {Uint8Array} bytes the first 29 or more bytes of a file
 * @returns {Header | null} null: not a PNG file
 */
export function pngHeader(bytes) {
  if (bytes.length < 29 || SIGNATURE.some((byte, i) => bytes[i] !== byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  return { width, height, depth: bytes[24], type: bytes[25], interlace: bytes[28] };
}

/** @param {Header} header @returns {boolean} whether it is gray or has a palette, as masks have */
export const isGrayOrIndexed = ({ type }) => type === GRAY || type === PALETTE;

/**
 * @param {Uint8Array} bytes a whole file
 * @returns {Promise<Picture>} rejects with `INVALID_FILE`
 */
export async function readPNG(bytes) {
  const header = pngHeader(bytes);
  if (!header) fail('png', 'must begin as a PNG file');
  const { width, height, depth, type, interlace } = header;
  const channels = CHANNELS[type];
  if (!channels || ![1, 2, 4, 8, 16].includes(depth) || interlace > 1) {
    fail('png', 'its header is damaged');
  }
  checkSize('png', width, height);
  const { data, palette, alphas } = chunksOf(bytes);
  const bits = channels * depth;
  const passes = (interlace ? ADAM7 : ONE_PASS).map(([x0, y0, dx, dy]) => {
    const [columns, rows] = [Math.ceil((width - x0) / dx), Math.ceil((height - y0) / dy)];
    const size = columns > 0 && rows > 0 ? rows * (1 + Math.ceil((columns * bits) / 8)) : 0;
    return { x0, y0, dx, dy, columns, rows, size };
  });
  const raw = await inflate(
    data,
    passes.reduce((sum, { size }) => sum + size, 0),
  );
  const values = new Uint32Array(width * height);
  let at = 0;
  for (const { x0, y0, dx, dy, columns, rows, size } of passes) {
    if (!size) continue;
    const stride = size / rows - 1;
    const lines = unfilter(raw.subarray(at, at + size), rows, stride, Math.max(1, bits >> 3));
    at += size;
    for (let row = 0; row < rows; row++) {
      const line = lines.subarray(row * stride, (row + 1) * stride);
      const into = (y0 + row * dy) * width + x0;
      for (let column = 0; column < columns; column++) {
        values[into + column * dx] = valueOf(line, column, type, depth, alphas);
      }
    }
  }
  return { width, height, values, most: type === GRAY || type === 4 ? 2 ** depth - 1 : 0, palette };
}

/**
 * @param {Uint8Array} line of samples
 * @param {number} column
 * @param {number} type
 * @param {number} depth
 * @param {Uint8Array | null} alphas of the palette
 */
function valueOf(line, column, type, depth, alphas) {
  const first = column * CHANNELS[type];
  const value = sampleAt(line, first, depth);
  if (type === GRAY) return value;
  if (type === PALETTE) return alphas?.[value] === 0 ? 0 : value;
  if (type === 4) return sampleAt(line, first + 1, depth) && value;
  if (type === 6 && !sampleAt(line, first + 3, depth)) return 0;
  const by = depth === 16 ? 8 : 0; // of 16 bits the upper ones count
  const [green, blue] = [sampleAt(line, first + 1, depth), sampleAt(line, first + 2, depth)];
  return (value >> by) + ((green >> by) << 8) + ((blue >> by) << 16);
}

/**
 * @param {Uint8Array} line of samples
 * @param {number} i index of the sample
 * @param {number} depth bits per sample
 */
function sampleAt(line, i, depth) {
  if (depth === 8) return line[i];
  if (depth === 16) return 256 * line[2 * i] + line[2 * i + 1];
  const perByte = 8 / depth;
  return (line[Math.floor(i / perByte)] >> (8 - depth * (1 + (i % perByte)))) & (2 ** depth - 1);
}

/** @param {Uint8Array} bytes */
function chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const data = [];
  /** @type {string[] | null} */
  let palette = null;
  /** @type {Uint8Array | null} */
  let alphas = null;
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) fail('png', 'ends too early');
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) fail('png', 'ends too early');
    const body = /** @type {Uint8Array<ArrayBuffer>} */ (bytes.subarray(at + 8, at + 8 + length));
    if (name === 'IEND') break;
    if (name === 'IDAT') data.push(body);
    if (name === 'tRNS') alphas = body;
    if (name === 'PLTE') {
      palette = Array.from({ length: Math.floor(length / 3) }, (_, i) =>
        hex(body.subarray(3 * i, 3 * i + 3)),
      );
    }
    at += 12 + length;
  }
  return { data, palette, alphas };
}

/**
 * @param {Uint8Array<ArrayBuffer>[]} parts of a zlib stream
 * @param {number} size that it must inflate to; more is never kept
 */
async function inflate(parts, size) {
  const given = parts.reduce((sum, part) => sum + part.length, 0);
  if (size > MAX_RATIO * given) fail('png', SHORT);
  const raw = new Uint8Array(size);
  let at = 0;
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  try {
    while (at < size) {
      const { done, value } = await reader.read();
      if (done) break;
      raw.set(value.subarray(0, size - at), at);
      at += value.length;
    }
  } catch {
    fail('png', 'its pixels are damaged');
  } finally {
    reader.cancel().catch(() => {});
  }
  if (at < size) fail('png', SHORT);
  return raw;
}

/**
 * Undo the filters of PNG.
 *
 * @param {Uint8Array} raw rows, each after the byte of its filter
 * @param {number} rows
 * @param {number} stride bytes per row, without that byte
 * @param {number} back bytes to the same sample of the pixel to the left
 */
function unfilter(raw, rows, stride, back) {
  const out = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    const from = row * (stride + 1);
    const to = row * stride;
    const filter = raw[from];
    if (filter > 4) fail('png', 'its pixels are damaged');
    for (let i = 0; i < stride; i++) {
      const left = filter && i >= back ? out[to + i - back] : 0;
      const above = filter > 1 && row ? out[to + i - stride] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = above;
      else if (filter === 3) guess = (left + above) >> 1;
      else if (filter) guess = paeth(left, above, row && i >= back ? out[to + i - stride - back] : 0);
      out[to + i] = raw[from + 1 + i] + guess;
    }
  }
  return out;
}

/** @type {(left: number, above: number, corner: number) => number} */
function paeth(left, above, corner) {
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}
