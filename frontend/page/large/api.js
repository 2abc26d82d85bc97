// The requests of the page to its gateway (web/store_gateway.py).

import { decode } from '../../src/decode.js';
import { Problem } from '../api.js';

/** @typedef {import('../place.js').Place} Place */
/** @typedef {import('../../src/annotation.js').Class} Class */
/** @typedef {import('../../src/annotation.js').Instance} Instance */

/**
 * The classes and objects, and the numbers of steps.
 *
 * @typedef {object} Lists
 * @property {Class[]} classes
 * @property {Instance[]} objects
 * @property {[number, number][]} areas pixels of each value that has some
 * @property {number} lists changes with the classes and objects
 * @property {number} undo steps that can be undone
 * @property {number} redo
 *
 * @typedef {{ name: string, width: number, height: number, scales: number[] } & Lists} Facts
 *
 * @typedef {Pick<Lists, 'areas' | 'lists' | 'undo' | 'redo'>} Painted `areas` of the values that it changed
 */

/**
 * The superpixels of a part of the image.
 *
 * @typedef {object} Superpixels
 * @property {Place} place
 * @property {import('../../src/map.js').LabelMap} map
 * @property {Uint16Array} values of each label: 0, a class, an object, or 255: several
 * @property {Uint32Array} ids global id of each label
 */

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options) {
  const response = await fetch(`api/${path}`, options).catch((error) => {
    if (options?.signal?.aborted) throw error;
    throw new Problem('No answer', 'The program does not answer. Is `superpixel app` still running?');
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Problem(response.status === 409 ? 'Changed elsewhere' : 'Not done', problem.detail);
}

/** @param {string} path @param {object} body @returns {Promise<any>} */
const post = async (path, body) => (await ask(path, { method: 'POST', body: JSON.stringify(body) })).json();

/** @returns {Promise<Facts>} */
export const loadFacts = async () => (await ask('store')).json();

/** @returns {Promise<Lists>} */
export const loadLists = async () => (await ask('lists')).json();

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
 * @param {boolean} hierarchy whether the map has its merges, too
 * @param {AbortSignal} signal
 * @returns {Promise<Superpixels>}
 */
export async function loadSuperpixels(place, area, hierarchy, signal) {
  const more = hierarchy ? '&hierarchy=1' : '';
  const response = await ask(`window?${query(place)}&area=${area}${more}`, { signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const map = await decode(bytes.subarray(4, 4 + size));
  const values = new Uint16Array(bytes.slice(4 + size, 4 + size + 2 * map.count).buffer);
  const ids = new Uint32Array(bytes.slice(4 + size + 2 * map.count).buffer);
  return { place, map, values, ids };
}

/** @param {{ ids: number[], value: number, lists: number }} step @returns {Promise<Painted>} */
export const paint = (step) => post('paint', step);

/** @param {{ do: string, lists: number }} step @returns {Promise<Lists>} */
export const change = (step) => post('change', step);

/** @param {'undo' | 'redo'} way @returns {Promise<Lists>} */
export const move = (way) => post(way, {});

/** @param {string} format @returns {Promise<Blob>} */
export const exported = async (format) => (await ask(`export?format=${format}`)).blob();
