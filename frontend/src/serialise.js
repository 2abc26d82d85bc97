// A selection as plain data, and back. docs/selection.md describes the format.
// service/superpixel_service/client/selection.py reads and writes the same text.

import { checkClasses, copyClass, FIRST_OBJECT, isObject, MAX_OBJECTS } from './annotation.js';
import { check, isIntegerIn } from './errors.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */

/** @typedef {Record<string, number | string | boolean | null>} Parameters what a map was made with */

/**
 * A selection as plain data for JSON, without its undo history.
 *
 * @typedef {object} SerialisedSelection
 * @property {string} format `superpixel-selection`
 * @property {number} version 2; 1 is read, too: it has no objects
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} count finest regions
 * @property {string} map `LabelMap.fingerprint`
 * @property {Parameters} [parameters] `Selection.parameters`
 * @property {import('./annotation.js').Class[]} classes
 * @property {import('./annotation.js').Instance[]} [objects] missing in version 1
 * @property {number[]} regions `Selection.regions`: value and length of each run
 * @property {number[]} pixels `Selection.pixels`: value and length of each run; empty if there are none
 */

const FORMAT = 'superpixel-selection';

/** Largest number of parameters, and of characters in a name and in a text. */
const MAX_PARAMETERS = 100;

/**
 * @param {import('./selection.js').Selection} selection
 * @returns {SerialisedSelection}
 */
export function serialise({ map, parameters, classes, objects, regions, pixels }) {
  return {
    format: FORMAT,
    version: 2,
    width: map.width,
    height: map.height,
    count: map.count,
    map: map.fingerprint,
    ...(parameters && { parameters: { ...parameters } }),
    classes: classes.map(copyClass),
    objects: objects.map(copyObject),
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
  const known = data?.format === FORMAT && (data.version === 1 || data.version === 2);
  check(
    known && Array.isArray(data.classes),
    'INVALID_SELECTION',
    `selection: must be a ${FORMAT} of version 1 or 2`,
  );
  const same = data.width === map.width && data.height === map.height && data.count === map.count;
  check(same && data.map === map.fingerprint, 'OTHER_MAP', 'selection: was made on another map');
  checkClasses(data.classes, 'INVALID_SELECTION');
  const { classes, pixels, parameters = null } = data;
  const objects = data.version === 1 ? [] : data.objects;
  check(
    Array.isArray(objects) &&
      objects.length <= MAX_OBJECTS &&
      objects.every((one) => isObject(one, classes.length)),
    'INVALID_SELECTION',
    `objects: must be at most ${MAX_OBJECTS}, each with a class from 1 to ${classes.length} and a name`,
  );
  check(
    areParameters(parameters),
    'INVALID_SELECTION',
    `parameters: must be at most ${MAX_PARAMETERS} names with numbers, short texts, booleans or nulls`,
  );
  const counts = [classes.length, objects.length];
  const isEmpty = Array.isArray(pixels) && !pixels.length;
  return {
    classes: classes.map(copyClass),
    objects: objects.map(copyObject),
    parameters: parameters && { ...parameters },
    regions: fromRuns('regions', data.regions, map.count, counts, 0),
    pixels: isEmpty ? null : fromRuns('pixels', pixels, map.labels.length, counts, 1),
  };
}

/** @param {import('./annotation.js').Instance} object */
const copyObject = ({ class: value, name }) => ({ class: value, name });

/** @param {any} parameters untrusted */
function areParameters(parameters) {
  if (parameters === null) return true;
  if (typeof parameters !== 'object' || Array.isArray(parameters)) return false;
  const entries = Object.entries(parameters);
  return (
    entries.length <= MAX_PARAMETERS &&
    entries.every(
      ([name, value]) =>
        /^[A-Za-z_]\w{0,99}$/.test(name) &&
        (value === null ||
          typeof value === 'boolean' ||
          Number.isFinite(value) ||
          (typeof value === 'string' && value.length <= MAX_PARAMETERS)),
    )
  );
}

/**
 * @param {Uint16Array} values
 * @returns {number[]} value and length of each run
 */
function toRuns(values) {
  const runs = [];
  const { length } = values;
  for (let at = 0; at < length;) {
    const start = at;
    const value = values[at];
    while (at < length && values[at] === value) at++;
    runs.push(value, at - start);
  }
  return runs;
}

/**
 * @param {string} name for the error text
 * @param {unknown} runs value and length of each run; untrusted
 * @param {number} size of the result
 * @param {number[]} counts of classes and objects
 * @param {number} first the number that stands for value 0
 */
function fromRuns(name, runs, size, [classes, objects], first) {
  check(Array.isArray(runs), 'INVALID_SELECTION', `${name}: must be an array of runs`);
  const [most, least, last] = [classes + first, FIRST_OBJECT + first, FIRST_OBJECT + first + objects - 1];
  const orObject = objects ? `, or from ${least} to ${last},` : '';
  let left = size;
  for (let i = 0; i < runs.length; i += 2) {
    const [value, length] = [runs[i], runs[i + 1]];
    const exists = isIntegerIn(value, 0, most) || isIntegerIn(value, least, last);
    if (!exists || !isIntegerIn(length, 1, left)) {
      const range = `a value from 0 to ${most}${orObject} and a length from 1 to ${left}`;
      check(false, 'INVALID_SELECTION', `${name}: run ${i / 2} must have ${range}`);
    }
    left -= length;
  }
  check(left === 0, 'INVALID_SELECTION', `${name}: hold ${size - left} values, must be ${size}`);
  const values = new Uint16Array(size); // not before: damaged data costs no memory
  for (let i = 0, at = 0; i < runs.length; i += 2) values.fill(runs[i], at, (at += runs[i + 1]));
  return values;
}
