// Helpers of the tests of selections.

import fc from 'fast-check';
import { Selection } from 'superpixel-map';
import { loadMap } from './fixtures.js';

/** @typedef {import('superpixel-map').LabelMap} LabelMap */
/** @typedef {import('superpixel-map').Level} Level */
/** @typedef {[number, number]} Point */

export const CLASSES = [
  { name: 'cat', color: '#e6194b' },
  { name: 'dog', color: '#3cb44b' },
  { name: 'sky', color: '#4363d8' },
];

export const maps = {
  photo: await loadMap('photo'),
  noise: await loadMap('noise'),
};

/** @param {LabelMap} map */
export const fresh = (map) =>
  new Selection(
    map,
    CLASSES.map((one) => ({ ...one })),
  );

/** @param {Selection} selection */
export const maskOf = (selection) => selection.annotation().mask;

/** @param {number[]} runs @param {number} size */
export function pixelsOf(runs, size) {
  const mask = new Uint8Array(size);
  for (let i = 0; i < runs.length; i += 2) mask.fill(1, runs[i], runs[i] + runs[i + 1]);
  return mask;
}

/** @param {Level} level @param {number} region @returns {Point} corner of its first pixel */
export function placeIn(level, region) {
  const at = level.map.labels.findIndex((label) => level.lut[label] === region);
  return [at % level.map.width, Math.floor(at / level.map.width)];
}

export const point = fc.tuple(
  fc.double({ min: -20, max: 80, noNaN: true }),
  fc.double({ min: -20, max: 60, noNaN: true }),
);

export const path = fc.array(point, { minLength: 1, maxLength: 5 });

/** @param {LabelMap} map @param {number} step size of the other map's square regions */
function otherMap(map, step) {
  const { width, height } = map;
  const across = Math.ceil(width / step);
  const labels = Int32Array.from({ length: width * height }, (_, i) => {
    return Math.floor(Math.floor(i / width) / step) * across + Math.floor((i % width) / step);
  });
  const count = across * Math.ceil(height / step);
  const data = { ...map, labels, count, tree: null, levels: null, heights: null, regions: null };
  const other = new /** @type {any} */ (map.constructor)(data);
  other.measureColors(new Uint8Array(4 * labels.length).map((_, i) => (i * 37) & 255));
  return other;
}

export const blocks = [4, 9].map((step) => otherMap(maps.noise, step));
