// The requests of the page to its gateway (web/store_gateway.py).

import { decode } from '../../src/decode.js';

/** @typedef {{ x: number, y: number, width: number, height: number, scale: number }} Place pixels of a level */

/**
 * @typedef {object} Facts
 * @property {number} width pixels
 * @property {number} height
 * @property {number[]} scales
 * @property {{ name: string, color: string }[]} classes
 * @property {number} undo steps that can be undone
 * @property {number} redo
 */

/**
 * The superpixels of a part of the image.
 *
 * @typedef {object} Superpixels
 * @property {Place} place
 * @property {Int32Array} labels of each pixel
 * @property {Uint8Array} values of each label: 0, a class, or 255: several
 * @property {Uint32Array} ids global id of each label
 */

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options) {
  const response = await fetch(`api/${path}`, options);
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Error(problem.detail);
}

/** @returns {Promise<Facts>} */
export const loadFacts = async () => (await ask('store')).json();

/** @param {Place} place */
const query = ({ x, y, width, height, scale }) =>
  `x=${x}&y=${y}&width=${width}&height=${height}&scale=${scale}`;

/** @param {Place} place */
export async function loadImage(place) {
  return createImageBitmap(await (await ask(`image?${query(place)}`)).blob());
}

/**
 * @param {Place} place
 * @param {number} area average size of a superpixel, in pixels of the level
 * @param {AbortSignal} signal
 * @returns {Promise<Superpixels>}
 */
export async function loadSuperpixels(place, area, signal) {
  const response = await ask(`window?${query(place)}&area=${area}`, { signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const map = await decode(bytes.subarray(4, 4 + size));
  const values = bytes.slice(4 + size, 4 + size + map.count);
  const ids = new Uint32Array(bytes.slice(4 + size + map.count).buffer);
  return { place, labels: map.labels, values, ids };
}

/** @param {number[]} ids @param {number} value @returns {Promise<{ undo: number, redo: number }>} */
export const paint = async (ids, value) =>
  (await ask('paint', { method: 'POST', body: JSON.stringify({ ids, value }) })).json();

/** @param {'undo' | 'redo'} step @returns {Promise<{ undo: number, redo: number }>} */
export const move = async (step) => (await ask(step, { method: 'POST' })).json();
