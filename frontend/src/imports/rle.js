// Run lengths of COCO and of Label Studio.

import { fail, shown } from './checks.js';

/** @typedef {import('../runs.js').Runs} Runs */

/**
 * The pixels of a mask in COCO's run lengths.
 *
 * @param {string} field
 * @param {any} mask `size` (height, width) and `counts` (a string, or lengths); untrusted
 * @param {number} width of the image
 * @param {number} height of the image
 * @returns {Runs} start and length of each run, column by column
 */
export function cocoRuns(field, mask, width, height) {
  const { size, counts } = mask;
  if (!Array.isArray(size) || size.length !== 2 || size[0] !== height || size[1] !== width) {
    fail(`${field}.size`, `must be [${height}, ${width}] (height, width), as the image, got ${shown(size)}`);
  }
  const lengths = typeof counts === 'string' ? lengthsOf(`${field}.counts`, counts) : counts;
  if (!Array.isArray(lengths)) fail(`${field}.counts`, 'must be a string or a list of lengths');
  const pixels = width * height;
  /** @type {Runs} */
  const runs = [];
  let at = 0;
  lengths.forEach((length, i) => {
    if (!(Number.isInteger(length) && length >= 0)) {
      fail(`${field}.counts`, `must be lengths of 0 or more, got ${shown(length)}`);
    }
    if (at + length > pixels) fail(`${field}.counts`, `must add up to ${pixels} pixels, got more`);
    if (i % 2 && length) runs.push(at, length);
    at += length;
  });
  if (at !== pixels) fail(`${field}.counts`, `must add up to ${pixels} pixels, got ${at}`);
  return runs;
}

/**
 * COCO's run lengths from text: five bits per character, lowest first; differences to the run before the last.
 *
 * @param {string} field
 * @param {string} text
 * @returns {number[]}
 */
function lengthsOf(field, text) {
  /** @type {number[]} */
  const lengths = [];
  for (let at = 0; at < text.length;) {
    let value = 0;
    let shift = 0;
    let byte = 32;
    while (byte & 32) {
      byte = text.charCodeAt(at++) - 48;
      if (!(byte >= 0 && byte < 64) || shift > 30) fail(field, `is damaged at character ${at - 1}`);
      value += (byte & 31) * 2 ** shift;
      shift += 5;
    }
    if (byte & 16) value -= 2 ** shift;
    lengths.push(value + (lengths.length > 2 ? lengths[lengths.length - 2] : 0));
  }
  return lengths;
}

/**
 * The pixels of a mask in Label Studio's run lengths (thi.ng/rle-pack): those of four channels whose fourth is not 0.
 *
 * @param {string} field
 * @param {any} bytes untrusted
 * @param {number} pixels of the image
 * @returns {Runs} start and length of each run, row by row
 */
export function brushRuns(field, bytes, pixels) {
  const valid = Array.isArray(bytes) && bytes.every((one) => Number.isInteger(one) && one >= 0 && one < 256);
  if (!valid) fail(field, 'must be a list of bytes');
  let at = 0; // in bits
  /** @type {(size: number) => number} */
  const read = (size) => {
    if (at + size > 8 * bytes.length) fail(field, 'ends too early');
    let value = 0;
    for (let left = size; left > 0;) {
      const taken = Math.min(left, 8 - (at & 7));
      const part = (bytes[at >> 3] >> (8 - (at & 7) - taken)) & (2 ** taken - 1);
      value = value * 2 ** taken + part;
      at += taken;
      left -= taken;
    }
    return value;
  };
  const total = read(32);
  if (total !== 4 * pixels)
    fail(field, `must have 4 values for each of ${pixels} pixels, got ${total} values`);
  const word = read(5) + 1;
  const sizes = [0, 0, 0, 0].map(() => read(4) + 1);
  /** @type {Runs} */
  const runs = [];
  /** @type {(from: number, to: number) => void} */
  const add = (from, to) => {
    const last = runs.length - 2;
    if (last >= 0 && runs[last] + runs[last + 1] === from) runs[last + 1] += to - from;
    else runs.push(from, to - from);
  };
  for (let i = 0; i < total;) {
    const isRun = read(1);
    const length = 1 + read(sizes[read(2)]);
    const end = Math.min(i + length, total);
    if (isRun) {
      // Value 4 * p + 3 is the fourth channel of pixel p.
      const [from, to] = [i >> 2, end >> 2];
      if (read(word) && from < to) add(from, to);
    } else {
      for (let j = i; j < end; j++) if (read(word) && (j & 3) === 3) add(j >> 2, (j >> 2) + 1);
    }
    i = end;
  }
  return runs;
}
