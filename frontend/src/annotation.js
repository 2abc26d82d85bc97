// What exports read; classes and objects.

import { check, isIntegerIn } from './errors.js';

/**
 * A class that regions and pixels can have.
 *
 * @typedef {object} Class
 * @property {string} name
 * @property {string} color `#rrggbb`
 * @property {number} [id] a number that stays the same over images and changes of the list: COCO's category
 */

/**
 * An object: one of the things of a class, for example one of three cats.
 *
 * @typedef {object} Instance
 * @property {number} class its class value, 1 or more
 * @property {string} name may be empty
 */

/**
 * A class per pixel, and an object per pixel.
 *
 * @typedef {object} Annotation
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8Array} mask height * width: 0 for no class, else 1 + the index of the class in `classes`
 * @property {Class[]} classes at most `MAX_CLASSES`
 * @property {Uint16Array | null} [instances] height * width: 0 for no object, else 1 + the index in `objects`; null or
 *   missing: no objects
 * @property {Instance[]} [objects] at most `MAX_OBJECTS`; an object may have no pixels
 */

/** Largest number of classes. A class value is 1 to 254; 0 is no class. */
export const MAX_CLASSES = 254;

/** Largest number of objects. */
export const MAX_OBJECTS = 65_000;

/** The value of a selection's first object. */
export const FIRST_OBJECT = 256;

/**
 * @param {any[]} classes untrusted
 * @param {import('./errors.js').ErrorCode} code
 * @throws {SuperpixelMapError} `code`: too many classes, or one that is not valid
 */
export function checkClasses(classes, code) {
  check(
    classes.length <= MAX_CLASSES &&
      classes.every((one) => typeof one?.name === 'string' && typeof one.color === 'string'),
    code,
    `classes: must be at most ${MAX_CLASSES}, each with a name and a color`,
  );
  const ids = new Set();
  for (const { color, id } of classes) {
    checkColor(color, code);
    if (id === undefined) continue;
    const valid = isIntegerIn(id, 1, 2 ** 31 - 1) && ids.size < ids.add(id).size;
    check(valid, code, `classes: an id must be an integer from 1 to 2147483647, one class each, got ${id}`);
  }
}

/**
 * @param {string} color
 * @param {import('./errors.js').ErrorCode} code
 * @throws {SuperpixelMapError} `code`: it is not `#rrggbb`
 */
export function checkColor(color, code) {
  check(/^#[0-9a-f]{6}$/i.test(color), code, `color: must be #rrggbb, got ${color}`);
}

/**
 * @param {any} value untrusted
 * @returns {boolean}
 */
export function isClass(value) {
  try {
    checkClasses([value], 'INVALID_ARGUMENT');
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {Class} one
 * @returns {Class} a copy
 */
export const copyClass = ({ name, color, id }) => (id === undefined ? { name, color } : { name, color, id });

/**
 * @param {any} value untrusted
 * @param {number} classes number of classes
 * @returns {boolean}
 */
export const isObject = (value, classes) =>
  isIntegerIn(value?.class, 1, classes) && typeof value.name === 'string';

/**
 * The class of each value of a selection: 0 to 254 are classes, 256 and more are objects.
 *
 * @param {Instance[]} objects
 * @returns {Uint8Array}
 */
export function classTable(objects) {
  const table = new Uint8Array(FIRST_OBJECT + objects.length);
  for (let value = 1; value <= MAX_CLASSES; value++) table[value] = value;
  objects.forEach((one, i) => (table[FIRST_OBJECT + i] = one.class));
  return table;
}
