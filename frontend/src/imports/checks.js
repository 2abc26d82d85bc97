// Checks of files that may be damaged or hostile.

import { SuperpixelMapError, isIntegerIn } from '../errors.js';

/** Largest image that is read, in pixels: as the engine's largest image. */
export const MAX_PIXELS = 2 ** 27;

/** Most pixels that the masks of one file may cover in all: a bound on the time that a small file can take. */
export const MAX_COVERED = 2 ** 32;

/**
 * @param {string} field the place in the file, as `annotations[3].segmentation`
 * @param {string} text what would be right
 * @returns {never}
 */
export function fail(field, text) {
  throw new SuperpixelMapError('INVALID_FILE', `${field}: ${text}`);
}

/**
 * @param {string} field
 * @param {any} width untrusted
 * @param {any} height untrusted
 */
export function checkSize(field, width, height) {
  const valid = isIntegerIn(width, 1, MAX_PIXELS) && isIntegerIn(height, 1, MAX_PIXELS);
  if (!valid || width * height > MAX_PIXELS) {
    fail(field, `must be 1 to ${MAX_PIXELS} pixels in all, got ${shown(width)} x ${shown(height)}`);
  }
}

/**
 * @param {string} field
 * @param {any} value untrusted
 * @returns {any[]}
 */
export const list = (field, value) =>
  Array.isArray(value) ? value : fail(field, `must be a list, got ${shown(value)}`);

/** @param {any} value untrusted @returns {boolean} whether it is an object with fields */
export const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {any} value untrusted @returns {string} the value, for an error text */
export function shown(value) {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
