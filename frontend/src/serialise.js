// A selection as plain data, and back. service/superpixel_service/client/exports.py reads it too.

import { checkClasses, copyClass } from './annotation.js';
import { check, isIntegerIn } from './errors.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */

/**
 * A selection as plain data for JSON, without its undo history.
 *
 * @typedef {object} SerialisedSelection
 * @property {string} format `superpixel-selection`
 * @property {number} version 1
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} count finest regions
 * @property {string} map `LabelMap.fingerprint`
 * @property {import('./annotation.js').Class[]} classes
 * @property {number[]} regions `Selection.regions`: value and length of each run
 * @property {number[]} pixels `Selection.pixels`: value and length of each run; empty if there are none
 */

const FORMAT = 'superpixel-selection';

/**
 * @param {import('./selection.js').Selection} selection
 * @returns {SerialisedSelection}
 */
export function serialise({ map, classes, regions, pixels }) {
  return {
    format: FORMAT,
    version: 1,
    width: map.width,
    height: map.height,
    count: map.count,
    map: map.fingerprint,
    classes: classes.map(copyClass),
    regions: toRuns(regions),
    pixels: pixels ? toRuns(pixels) : [],
  };
}

/**
 * @param {LabelMap} map
 * @param {SerialisedSelection} data untrusted
 * @throws {SuperpixelMapError} `OTHER_MAP`: `data` belongs to another map; `INVALID_SELECTION`: it is damaged
 */
export function deserialise(map, data) {
  const valid = data?.format === FORMAT && data.version === 1 && Array.isArray(data.classes);
  check(valid, 'INVALID_SELECTION', `selection: must be a ${FORMAT} of version 1`);
  const same = data.width === map.width && data.height === map.height && data.count === map.count;
  check(same && data.map === map.fingerprint, 'OTHER_MAP', 'selection: was made on another map');
  const number = data.classes.length;
  checkClasses(data.classes, 'INVALID_SELECTION');
  const { pixels } = data;
  const isEmpty = Array.isArray(pixels) && !pixels.length;
  return {
    classes: data.classes.map(copyClass),
    regions: fromRuns('regions', data.regions, map.count, number),
    pixels: isEmpty ? null : fromRuns('pixels', pixels, map.labels.length, number + 1),
  };
}

/**
 * @param {Uint8Array} values
 * @returns {number[]} value and length of each run
 */
function toRuns(values) {
  const runs = [];
  for (let at = 0; at < values.length;) {
    const start = at;
    while (at < values.length && values[at] === values[start]) at++;
    runs.push(values[start], at - start);
  }
  return runs;
}

/**
 * @param {string} name for the error text
 * @param {unknown} runs value and length of each run; untrusted
 * @param {number} size of the result
 * @param {number} most largest value
 */
function fromRuns(name, runs, size, most) {
  check(Array.isArray(runs), 'INVALID_SELECTION', `${name}: must be an array of runs`);
  const values = new Uint8Array(size);
  let left = size;
  for (let i = 0; i < runs.length; i += 2) {
    const [value, length] = [runs[i], runs[i + 1]];
    check(
      isIntegerIn(value, 0, most) && isIntegerIn(length, 1, left),
      'INVALID_SELECTION',
      `${name}: run ${i / 2} must have a value from 0 to ${most} and a length from 1 to ${left}`,
    );
    values.fill(value, size - left, size - left + length);
    left -= length;
  }
  check(left === 0, 'INVALID_SELECTION', `${name}: hold ${size - left} values, must be ${size}`);
  return values;
}
