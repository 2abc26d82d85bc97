// A view: the part of a map that a picture shows. And the picture's pixels as 32-bit values.

import { check, checkInteger } from './errors.js';

/**
 * The part of the map that a picture shows. Pixel (i, j) of the picture shows the map at
 * (x + (i + 0.5) / scale, y + (j + 0.5) / scale).
 *
 * @typedef {object} View
 * @property {number} x map column at the picture's left edge, in map pixels, may be fractional
 * @property {number} y map row at the picture's top edge, in map pixels, may be fractional
 * @property {number} scale picture pixels per map pixel, above 0
 * @property {number} width of the picture in pixels, 1 to 32768
 * @property {number} height of the picture in pixels, 1 to 32768
 */

/**
 * The map column that each picture column shows; the same function serves rows.
 *
 * @param {number} from map coordinate at the picture's edge
 * @param {number} scale picture pixels per map pixel
 * @param {number} size picture columns
 * @param {number} limit map columns
 * @returns {Int32Array} `size` map columns; -1 outside the map
 */
export function sample(from, scale, size, limit) {
  const places = new Int32Array(size);
  for (let i = 0; i < size; i++) {
    const place = Math.floor(from + (i + 0.5) / scale);
    places[i] = place >= 0 && place < limit ? place : -1;
  }
  return places;
}

/**
 * @param {View} view
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`
 */
export function checkView(view) {
  checkInteger('view.width', view.width, 1, 2 ** 15);
  checkInteger('view.height', view.height, 1, 2 ** 15);
  const valid = view.scale > 0 && Number.isFinite(view.x + view.y + view.scale);
  check(valid, 'INVALID_ARGUMENT', 'view: x and y must be numbers, scale a number above 0');
}

/**
 * A picture's pixels as 32-bit values in the same memory.
 *
 * @param {Uint8ClampedArray | Uint8Array} rgba 4 * width * height bytes
 * @param {View} view
 * @returns {Uint32Array} width * height
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the view is invalid, or `rgba` has another size
 */
export function pixelsOf(rgba, view) {
  checkView(view);
  const bytes = 4 * view.width * view.height;
  check(
    rgba.length === bytes,
    'INVALID_ARGUMENT',
    `rgba: must be ${bytes} bytes for this view, got ${rgba.length}`,
  );
  return new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4);
}

/**
 * @param {ArrayLike<number>} color R, G, B, A: bytes; A is 255 if missing
 * @returns {number} the colour as a 32-bit pixel, in the byte order of this machine
 */
export function packed(color) {
  return new Uint32Array(Uint8Array.from([color[0], color[1], color[2], color[3] ?? 255]).buffer)[0];
}
