// Reads mask files: PNG files whose values are classes or labels.

import { MAX_CLASSES } from '../annotation.js';
import { isIntegerIn } from '../errors.js';
import { Canvas, Classes } from './canvas.js';
import { fail, shown } from './checks.js';
import { colorOf } from './colors.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../annotation.js').Class} Class */
/** @typedef {import('../png/index.js').Picture} Picture */

/** A gray picture with more values than this is an edge map or a soft mask, not a mask of classes. */
const MOST_CLASSES_OF_GRAY = 32;

/** A pixel of a soft mask belongs to the object from this share of the largest gray on. */
const SOFT_THRESHOLD = 0.5;

/** Data sets such as Pascal VOC mark pixels without a class by this index. */
const VOID_INDEX = 255;

/**
 * What the values of a mask mean.
 *
 * @typedef {object} Meaning
 * @property {'indexes' | 'soft' | 'one' | 'values'} kind `indexes`: the palette's index is the class; `soft`: gray from a
 *   threshold on is one class; `one`: a single value is one class; `values`: each value is a class
 * @property {Class[]} classes those of the caller (the same objects) and after them missing ones
 * @property {Map<number, number>} values the class of each value; other values have no class
 * @property {number[]} found all values but 0, ascending
 */

/**
 * @param {Picture} picture
 * @param {readonly Class[]} known classes of the caller
 * @param {Class} unnamed class of a mask with a single value
 * @returns {Meaning | null} null: it has more labels than an image can have classes
 */
export function meaningOf({ values: labels, most, palette }, known, unnamed) {
  const seen = new Set(labels);
  seen.delete(0);
  const found = [...seen].sort((a, b) => a - b);
  const isSoft = most > 0 && most < 65_535 && found.length > MOST_CLASSES_OF_GRAY;
  const kind = palette ? 'indexes' : isSoft ? 'soft' : found.length === 1 ? 'one' : 'values';
  const classes = [...known];
  /** @type {Map<number, number>} */
  const values = new Map();
  /** @type {(wanted: number) => void} */
  const number = (wanted) => {
    for (let i = classes.length + 1; i <= wanted; i++) {
      classes.push({ name: `Class ${i}`, color: palette?.[i] ?? colorOf(classes) });
    }
  };
  if (kind === 'soft' || kind === 'one') {
    let at = classes.findIndex((one) => one === unnamed || one.name === unnamed.name);
    if (at < 0) at = classes.push(unnamed) - 1;
    for (const value of found) {
      if (kind === 'one' || value >= SOFT_THRESHOLD * most) values.set(value, at + 1);
    }
  } else if (kind === 'indexes') {
    for (const value of found) if (value !== VOID_INDEX) values.set(value, value);
    const last = Math.max(0, ...values.keys());
    if (last > MAX_CLASSES) return null;
    number(last);
  } else {
    if (found.length > MAX_CLASSES) return null;
    const isNumbered = found.every((value) => value <= known.length);
    found.forEach((value, i) => values.set(value, isNumbered ? value : i + 1));
    if (!isNumbered) number(found.length);
  }
  return { kind, classes, values, found };
}

/**
 * @param {Picture} picture
 * @param {import('./index.js').Wanted} wanted
 * @returns {Annotation} without objects
 */
export function readMask(picture, { classes, unnamed }) {
  const meaning = meaningOf(picture, classes, unnamed);
  if (!meaning)
    fail(
      'png',
      `must have at most ${MAX_CLASSES} values for classes; a file of objects needs its legend, too`,
    );
  return maskBy(picture, meaning);
}

/**
 * @param {Picture} picture
 * @param {Meaning} meaning
 * @returns {Annotation}
 */
export function maskBy({ width, height, values: labels }, { classes, values }) {
  const mask = new Uint8Array(labels.length);
  for (let i = 0; i < mask.length; i++) mask[i] = values.get(labels[i]) ?? 0;
  return { width, height, mask, classes, instances: null, objects: [] };
}

/** @param {any} content untrusted @returns {boolean} whether it is the legend of an instance mask */
export const isLegend = (content) => Array.isArray(content?.classes) && Array.isArray(content.objects);

/**
 * Read an instance mask: its values are those of the legend's classes and objects.
 *
 * @param {any} legend see `isLegend`; untrusted
 * @param {Picture | undefined} picture
 * @param {import('./index.js').Wanted} wanted
 * @returns {Annotation}
 */
export function readInstances(legend, picture, { classes, objects }) {
  if (!picture) fail('legend', 'needs its PNG file, too');
  const canvas = new Canvas(picture.width, picture.height);
  const made = new Classes(classes);
  const owners = new Map();
  for (const field of ['classes', 'objects']) {
    legend[field].forEach((/** @type {any} */ one, /** @type {number} */ i) => {
      const isObject = field === 'objects';
      const value = isObject ? one?.class : made.add(i, String(one?.name), one ?? {});
      const valid =
        isIntegerIn(one?.value, 1, 65_535) && !owners.has(one.value) && typeof one.name === 'string';
      if (!valid || !isIntegerIn(value, 1, made.all.length)) {
        fail(
          `${field}[${i}]`,
          `must have a value, a name${isObject ? ' and a class' : ''}, got ${shown(one)}`,
        );
      }
      canvas.begin(value, isObject && objects, one.name);
      owners.set(one.value, canvas.masks.length);
    });
  }
  canvas.label(picture.values, owners, 'the legend');
  return canvas.annotation(made.all);
}
