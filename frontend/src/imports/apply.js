// Puts an annotation into a selection.

import { checkClasses, copyClass, FIRST_OBJECT, MAX_OBJECTS } from '../annotation.js';
import { check, checkShare } from '../errors.js';
import { write } from '../history.js';
import { chooseRegions, snapped } from '../paint.js';
import { renumber } from '../replay.js';
import { append } from '../runs.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../annotation.js').Class} Class */
/** @typedef {import('../runs.js').Runs} Runs */
/** @typedef {import('../selection.js').Selection} Selection */

/**
 * Put an annotation into a selection, as one undo step. Pixels without a class stay as they are. A class is found in the
 * selection as the same object, else by its `id`, else by its name; classes that are used and missing are appended. Objects
 * are appended too.
 *
 * @param {Selection} selection
 * @param {Annotation} annotation of the map's size: see `scaleAnnotation`
 * @param {object} [options]
 * @param {import('../map.js').Level} [options.level] snap to its superpixels: each gets the class or object that most of its
 *   pixels have, if these are at least the share `threshold`; objects without a superpixel are left out. Default: paint pixels
 * @param {number} [options.threshold] 0 to 1, default 0.5
 * @returns {import('../boxes.js').Box | null} what changed
 * @throws {SuperpixelMapError} `OTHER_MAP`: it has another size; `INVALID_ARGUMENT`: there would be too many classes or objects
 */
export function importAnnotation(selection, annotation, { level, threshold = 0.5 } = {}) {
  const { width, height, labels, count } = selection.map;
  check(
    annotation.width === width && annotation.height === height,
    'OTHER_MAP',
    `annotation: must be of ${width} x ${height} pixels, got ${annotation.width} x ${annotation.height}`,
  );
  check(
    !level || level.map === selection.map,
    'OTHER_MAP',
    'level: belongs to another map than the selection',
  );
  checkShare('threshold', threshold);
  const { classes, values } = classesOf(selection, annotation);
  const { mask, instances, objects = [] } = annotation;
  // Pixels by class; those of objects by FIRST_OBJECT + index.
  /** @type {Runs[]} */
  let runs = [];
  for (let i = 0; i < mask.length; i++) {
    const value = instances?.[i] ? FIRST_OBJECT + instances[i] - 1 : values[mask[i]];
    if (value && labels[i] < count) append((runs[value] ??= []), i);
  }
  if (level) runs = snapped(level, runs, threshold);
  const used = Object.keys(runs).map(Number);
  const added = used.filter((value) => value >= FIRST_OBJECT);
  const first = selection.objects.length;
  check(
    first + added.length <= MAX_OBJECTS,
    'INVALID_ARGUMENT',
    `objects: a selection has at most ${MAX_OBJECTS}, this needs ${first + added.length}`,
  );
  selection.classes.push(...classes.slice(selection.classes.length));
  const changes = added.map((value, i) => {
    const one = objects[value - FIRST_OBJECT];
    return { at: first + i, from: null, to: { class: values[one.class], name: one.name } };
  });
  /** @type {import('../history.js').Step} */
  const step = { regions: [], pixels: [], ...(changes.length && { objects: changes }) };
  renumber(selection, step, false);
  const own = new Map(added.map((value, i) => [value, FIRST_OBJECT + first + i]));
  for (const value of used) {
    const to = own.get(value) ?? value;
    if (level) {
      const { regions, pixels } = chooseRegions(selection, level, runs[value], to);
      for (const one of regions) step.regions.push(one);
      for (const one of pixels) step.pixels.push(one);
    } else {
      selection.pixels ??= new Uint16Array(mask.length);
      for (const one of write(selection.pixels, runs[value], 1 + to)) step.pixels.push(one);
    }
  }
  selection._spots = null;
  return selection._record(step);
}

/**
 * @param {Selection} selection
 * @param {Annotation} annotation
 * @returns {{ classes: Class[], values: Uint8Array }} the selection's classes with the missing ones; by class value of the
 *   annotation: that of the selection
 */
function classesOf(selection, annotation) {
  const seen = new Uint8Array(256);
  for (const value of annotation.mask) seen[value] = 1;
  const classes = [...selection.classes];
  const values = new Uint8Array(256);
  // An annotation of numbers continues the selection's classes: class 5 stays class 5.
  const continues = selection.classes.every((one, i) => one === annotation.classes[i]);
  annotation.classes.slice(0, seen.lastIndexOf(1)).forEach((one, i) => {
    if (continues) values[i + 1] = classes[i] ? i + 1 : classes.push(copyClass(one));
    else if (seen[i + 1]) values[i + 1] = place(classes, one);
  });
  checkClasses(classes, 'INVALID_ARGUMENT');
  return { classes, values };
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
  return 1 + (same ?? classes.push(copyClass(one)) - 1);
}
