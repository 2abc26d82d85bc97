// Puts an annotation into a selection.

import { check } from '../errors.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../annotation.js').Class} Class */

/**
 * Put an annotation into a selection, as one undo step. Pixels without a class stay as they are. A class is found in the
 * selection as the same object, else by its `id`, else by its name; classes that are used and missing are appended.
 *
 * @param {import('../selection.js').Selection} selection
 * @param {Annotation} annotation of the map's size: see `scaleAnnotation`
 * @param {object} [options]
 * @param {import('../map.js').Level} [options.level] snap to its superpixels (`Selection.fromMask`); default: paint its pixels
 * @param {number} [options.threshold] with `level`: as in `Selection.fromMask`
 * @returns {import('../boxes.js').Box | null} what changed
 * @throws {SuperpixelMapError} `OTHER_MAP`: it has another size; `INVALID_ARGUMENT`: there would be too many classes
 */
export function importAnnotation(selection, annotation, { level, threshold } = {}) {
  const { width, height } = selection.map;
  check(
    annotation.width === width && annotation.height === height,
    'OTHER_MAP',
    `annotation: must be of ${width} x ${height} pixels, got ${annotation.width} x ${annotation.height}`,
  );
  const seen = new Uint8Array(256);
  for (const value of annotation.mask) seen[value] = 1;
  const classes = [...selection.classes];
  const values = new Uint8Array(256);
  const last = seen.lastIndexOf(1);
  // An annotation of numbers continues the selection's classes: class 5 stays class 5.
  const continues = selection.classes.every((one, i) => one === annotation.classes[i]);
  annotation.classes.slice(0, last).forEach((one, i) => {
    if (continues) values[i + 1] = classes[i] ? i + 1 : classes.push({ ...one });
    else if (seen[i + 1]) values[i + 1] = place(classes, one);
  });
  const mask = annotation.mask.map((value) => values[value]);
  // The selection appends the missing classes.
  const given = classes.length > selection.classes.length ? classes : undefined;
  return level ? selection.fromMask(level, mask, given, { threshold }) : selection.paintMask(mask, given);
}

/**
 * @param {Class[]} classes a missing one is appended
 * @param {Class} one
 * @returns {number} its class value there
 */
function place(classes, one) {
  const same = [
    classes.indexOf(one),
    one.id === undefined ? -1 : classes.findIndex(({ id }) => id === one.id),
    classes.findIndex(({ name }) => name === one.name),
  ].find((at) => at >= 0);
  return 1 + (same ?? classes.push({ ...one }) - 1);
}
