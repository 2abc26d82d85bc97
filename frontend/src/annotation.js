// What exports read.

import { check } from './errors.js';

/**
 * A class that regions and pixels can have.
 *
 * @typedef {object} Class
 * @property {string} name
 * @property {string} color `#rrggbb`
 * @property {number} [id] a number that stays the same over images and changes of the list: COCO's category
 */

/**
 * A class per pixel.
 *
 * @typedef {object} Annotation
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8Array} mask height * width: 0 for no class, else 1 + the index of the class in `classes`
 * @property {Class[]} classes at most `MAX_CLASSES`
 */

/** Largest number of classes. A class value is 1 to 254; 0 is no class. */
export const MAX_CLASSES = 254;

/**
 * @param {any} value untrusted
 * @returns {boolean} whether name and colour are text
 */
export function isClass(value) {
  return typeof value?.name === 'string' && typeof value.color === 'string';
}

/**
 * @param {any[]} classes untrusted
 * @param {import('./errors.js').ErrorCode} code
 * @throws {SuperpixelMapError} `code`: too many classes, or one without name and colour
 */
export function checkClasses(classes, code) {
  check(
    classes.length <= MAX_CLASSES && classes.every(isClass),
    code,
    `classes: must be at most ${MAX_CLASSES}, each with a name and a color`,
  );
}

/**
 * @param {Class} one
 * @returns {Class} a copy
 */
export const copyClass = ({ name, color, id }) => (id === undefined ? { name, color } : { name, color, id });
