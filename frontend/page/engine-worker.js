// Makes superpixels in this browser. The worker starts while the gateway still answers, and then needs it no more.

import { encode, load } from '../src/engine/index.js';
import { SuperpixelMapError } from '../src/errors.js';
import { pngHeader, readPNG } from '../src/png/index.js';
import { whiteCanvas } from './canvas.js';

/** The average size of the finest superpixels in pixels, as the gateway has it. */
const AREA = 64;

/** @typedef {import('../src/engine/calls.js').Image} Image */

/** Rows of the photograph that are read at once. */
const ROWS = 256;

/** The calls in progress, by the number of their message. @type {Map<number, AbortController>} */
const open = new Map();

/**
 * @typedef {object} Message
 * @property {number} id
 * @property {boolean} [cancel] the call of this number
 * @property {Blob} [image] missing: only load the engine
 * @property {import('./api.js').Making} [making]
 */

/** @param {MessageEvent<Message>} event */
self.onmessage = async ({ data: { id, cancel, image, making } }) => {
  if (cancel) return open.get(id)?.abort();
  const abort = new AbortController();
  open.set(id, abort);
  /** @param {any} message @param {Transferable[]} [transfer] */
  const answer = (message, transfer = []) =>
    /** @type {any} */ (self).postMessage({ id, ...message }, transfer);
  try {
    await load({ worker: false });
    if (!image || !making) return answer({ done: true });
    const [pixels, file, guidance] = await Promise.all([
      pixelsOf(image),
      image.arrayBuffer(),
      guidanceOf(making.guidance),
    ]);
    const { bytes } = await encode(pixels, {
      area: AREA,
      compactness: making.compactness,
      guidance,
      file: new Uint8Array(file),
      signal: abort.signal,
      worker: false,
      onProgress: ({ share }) => answer({ share }),
    });
    answer({ spx: bytes.buffer }, [bytes.buffer]);
  } catch (error) {
    const code = error instanceof SuperpixelMapError ? error.code : 'ENGINE_FAILED';
    answer({ error: error instanceof Error ? error.message : String(error), code });
  } finally {
    open.delete(id);
  }
};

/**
 * Gray of 16 bits as the server reads it: scaled from its robust range (SampleRange in the contract). A canvas has
 * 8 bits.
 *
 * @param {Blob} image
 * @returns {Promise<Image | null>} null: another format
 */
async function grayOf(image) {
  const header = pngHeader(new Uint8Array(await image.slice(0, 64).arrayBuffer()));
  if (header?.depth !== 16 || header.type !== 0) return null;
  const { width, height, values } = await readPNG(new Uint8Array(await image.arrayBuffer()));
  const counts = new Uint32Array(1 << 16);
  for (const value of values) counts[value] += 1;
  const passed = Math.floor(values.length / 1000);
  const low = nth(counts, passed);
  const high = (1 << 16) - 1 - nth(counts.slice().reverse(), passed);
  const range = high - low;
  const scaled = (/** @type {number} */ value) => {
    if (!range) return value > low ? 255 : 0;
    const above = Math.min(Math.max(value, low), high) - low;
    return Math.floor((255 * above + Math.floor(range / 2)) / range);
  };
  return { width, height, data: Uint8Array.from(values, scaled) };
}

/**
 * The value at a place of the sorted values, counted from 0.
 *
 * @param {Uint32Array} counts how often each value occurs
 * @param {number} place
 */
function nth(counts, place) {
  let left = place;
  let value = 0;
  while (left >= counts[value]) {
    left -= counts[value];
    value += 1;
  }
  return value;
}

/**
 * Decode an image as the server does: upright, without regard to its colour profile, on white.
 *
 * @param {Blob} image
 * @returns {Promise<Image>}
 */
async function pixelsOf(image) {
  const gray = await grayOf(image);
  if (gray) return gray;
  const bitmap = await createImageBitmap(image, { colorSpaceConversion: 'none' }).catch(() => {
    throw new SuperpixelMapError('INVALID_FILE', 'This browser cannot decode the image.');
  });
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(4 * width * height);
  const context = whiteCanvas(width, Math.min(ROWS, height), { willReadFrequently: true });
  for (let top = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    data.set(context.getImageData(0, 0, width, rows).data, 4 * width * top);
  }
  bitmap.close();
  return { width, height, data };
}

/** @param {import('./api.js').Guidance | null} guidance as the gateway takes it */
async function guidanceOf(guidance) {
  if (!guidance) return null;
  const { role, weight, prior, edges } = guidance;
  const map = role === 'edges' ? edges : prior;
  const { width, height, values, most } = await readPNG(new Uint8Array(await map.arrayBuffer()));
  if (role === 'edges') {
    const data = Uint8Array.from(values, (value) => Math.round((255 * value) / most));
    return { edges: { width, height, data }, edgeWeight: weight };
  }
  const known = { prior: { width, height, data: values }, priorMode: role };
  return role === 'soft' ? { ...known, priorWeight: weight } : known;
}
