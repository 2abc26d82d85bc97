// Where a window of a large image is. Work on a whole image has no place: its points are those of the image.

/** @typedef {import('../src/shapes.js').Point} Point */

/**
 * A window of a level of the image. Each of its pixels is `scale` x `scale` pixels of the image.
 *
 * @typedef {{ x: number, y: number, width: number, height: number, scale: number }} Place
 */

/**
 * @param {Place | null} place
 * @param {Point} point in pixels of the window
 * @returns {Point} in pixels of the image
 */
export const toImage = (place, [x, y]) =>
  place ? [(place.x + x) * place.scale, (place.y + y) * place.scale] : [x, y];

/**
 * @param {Place | null} place
 * @param {Point} point in pixels of the image
 * @returns {Point} in pixels of the window
 */
export const toWindow = (place, [x, y]) =>
  place ? [x / place.scale - place.x, y / place.scale - place.y] : [x, y];
