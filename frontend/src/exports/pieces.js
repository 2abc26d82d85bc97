// What an export writes one entry of: objects, and pieces of classes without objects.

import { FIRST_OBJECT } from '../annotation.js';
import { grow } from '../boxes.js';
import { findPieces } from '../pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../pieces.js').Piece} Piece */

/**
 * Pixels of one object, or of one class without an object.
 *
 * @typedef {object} Group
 * @property {number} value the class, or 256 + the index of the object
 * @property {number} class the class value
 * @property {string} name of the object; empty if it has none, or if there is no object
 * @property {Piece[]} pieces at least one, in the order of first pixels
 * @property {number} area pixels
 * @property {[number, number, number, number]} box x0, y0, x1, y1 in pixels; x1 and y1 are exclusive
 */

/**
 * @param {Annotation} annotation
 * @returns {Uint8Array | Uint16Array} the value of each pixel: 0, its class, or 256 + the index of its object
 */
export function valuesOf({ mask, instances }) {
  if (!instances) return mask;
  const values = new Uint16Array(mask.length);
  for (let i = 0; i < mask.length; i++) values[i] = instances[i] ? FIRST_OBJECT - 1 + instances[i] : mask[i];
  return values;
}

/**
 * @param {Annotation} annotation
 * @param {boolean} split whether each 4-connected piece of a class without an object is a group
 * @param {import('../pieces.js').Pieces} [found] default: the pieces of the annotation's values
 * @returns {{ found: import('../pieces.js').Pieces, groups: Group[] }} the objects in the order of the list, then the others:
 *   split in the order of first pixels, else in the order of classes
 */
export function findGroups(annotation, split, found = piecesOf(annotation)) {
  /** @type {Piece[][]} */
  const byValue = [];
  /** @type {Piece[][]} */
  const single = [];
  for (const piece of found.pieces) {
    if (split && piece.value < FIRST_OBJECT) single.push([piece]);
    else (byValue[piece.value] ??= []).push(piece);
  }
  // `filter` and `slice` leave out values without pixels.
  const things = byValue.slice(FIRST_OBJECT).filter(Boolean);
  const stuff = byValue.slice(0, FIRST_OBJECT).filter(Boolean);
  const groups = [...things, ...stuff, ...single].map((pieces) => groupOf(annotation, pieces));
  return { found, groups };
}

/** @param {Annotation} annotation */
function piecesOf(annotation) {
  const { width, height } = annotation;
  return findPieces({ mask: valuesOf(annotation), width, height });
}

/**
 * @param {Annotation} annotation
 * @param {Piece[]} pieces of one value
 * @returns {Group}
 */
function groupOf({ objects = [] }, pieces) {
  const { value } = pieces[0];
  const object = objects[value - FIRST_OBJECT];
  /** @type {Group['box']} */
  const box = [...pieces[0].box];
  let area = 0;
  for (const piece of pieces) {
    area += piece.area;
    grow(box, 0, ...piece.box);
  }
  return { value, class: object?.class ?? value, name: object?.name ?? '', pieces, area, box };
}

/**
 * @param {import('../annotation.js').Class[]} classes
 * @returns {number[]} COCO's category of each class: its `id` if every class has one, else 1 + its index
 */
export function categoryIds(classes) {
  const own = classes.every(({ id }) => id !== undefined);
  return classes.map(({ id }, i) => (own && id) || i + 1);
}
