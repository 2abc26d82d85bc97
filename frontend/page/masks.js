// Masks and edge maps that a user drops on an open photograph.

import { MAX_CLASSES } from '../src/index.js';
import { unusedColor } from './classes.js';
import { readMasks } from './coco.js';
import { count } from './dom.js';
import { isGrayOrIndexed, pngHeader, readPNG, writePNG } from './png.js';

/** @typedef {import('./work.js').Work} Work */
/** @typedef {import('../src/annotation.js').Class} Class */

/** A gray picture with more values than this is an edge map or a soft mask, not a mask of classes. */
const MOST_CLASSES_OF_GRAY = 32;

/** A pixel of a soft mask belongs to the object from this share of the largest gray on. */
const SOFT_THRESHOLD = 0.5;

/** Data sets such as Pascal VOC mark pixels without a class by this index. */
const VOID_INDEX = 255;

/**
 * A mask or an edge map.
 *
 * @typedef {object} Rough
 * @property {string} name of the file
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint32Array} labels height * width: a label per pixel
 * @property {number} most the largest gray that the file can contain; 0 if it has labels
 * @property {boolean} looksLikeEdges
 * @property {Start | null} start how a selection can start from it; null: not possible
 */

/**
 * @typedef {object} Start
 * @property {string} text what the user reads
 * @property {Class[]} missing classes to append to those of the selection
 * @property {Map<number, number>} values the class value of each label; other labels have no class
 */

/**
 * @param {Blob} file
 * @param {string} name
 * @param {Work} work
 * @returns {Promise<boolean>} whether it may be a mask for the open photograph: JSON; or PNG, gray, with a palette, or as
 *   large as the photograph
 */
export async function mayBeMask(file, name, { map }) {
  if (isJSON(file, name)) return true;
  const header = pngHeader(new Uint8Array(await file.slice(0, 64).arrayBuffer()));
  if (!header) return false;
  return isGrayOrIndexed(header) || (header.width === map.width && header.height === map.height);
}

/** @param {Blob} file @param {string} name */
export const isJSON = (file, name) => file.type === 'application/json' || /\.json$/i.test(name);

/**
 * @param {Blob} file
 * @param {string} name
 * @param {Work} work
 * @param {number} value the class in use
 * @returns {Promise<Rough>} rejects with a Problem
 */
export async function readRough(file, name, work, value) {
  const { classes } = work.selection;
  if (isJSON(file, name)) {
    const { width, height } = work.map;
    const masks = readMasks(await file.text(), { name: work.name, width, height });
    return {
      ...masks,
      name,
      most: 0,
      looksLikeEdges: false,
      start: startOfMasks(masks.categories, classes, value),
    };
  }
  const picture = await readPNG(new Uint8Array(await file.arrayBuffer()));
  const { width, height, values: labels, most, palette } = picture;
  const found = new Set(labels);
  found.delete(0);
  const isSoft = most > 0 && most < 65_535 && found.size > MOST_CLASSES_OF_GRAY;
  let start;
  if (palette) start = startOfIndexes(found, classes, palette);
  else if (isSoft) start = startOfSoft(found, most, classes, value);
  else start = startOfLabels(found, classes, value);
  return { name, width, height, labels, most, looksLikeEdges: isSoft, start };
}

/**
 * A mask for `Selection.fromMask`, of the photograph's size: the nearest pixel counts, as on the server.
 *
 * @param {Rough} rough
 * @param {Start} start
 * @param {{ width: number, height: number }} map
 * @returns {Uint8Array} class values
 */
export function maskOf({ width, height, labels }, { values }, map) {
  const mask = new Uint8Array(map.width * map.height);
  const columns = nearest(width, map.width);
  const rows = nearest(height, map.height);
  for (let y = 0, at = 0; y < map.height; y++) {
    const row = rows[y] * width;
    for (let x = 0; x < map.width; x++, at++) mask[at] = values.get(labels[row + columns[x]]) ?? 0;
  }
  return mask;
}

/**
 * @param {number} from pixels of the mask
 * @param {number} to pixels of the photograph
 * @returns {Int32Array} the pixel of the mask for each pixel of the photograph (docs/algorithm.md)
 */
const nearest = (from, to) =>
  Int32Array.from({ length: to }, (_, i) => Math.floor(((2 * i + 1) * from) / (2 * to)));

/**
 * The map as a PNG file, as the gateway takes it.
 *
 * @param {Rough} rough
 * @param {'edges' | 'prior'} field
 * @returns {Promise<Blob>}
 */
export async function pngOf({ labels, width, height, most }, field) {
  if (field === 'prior') return writePNG(labels, width, height);
  // Any label is an edge; gray keeps its strength.
  const strengths = labels.map((label) => (most ? Math.round((label * 255) / most) : label && 255));
  return writePNG(strengths, width, height);
}

// ---- what the labels become

/**
 * @param {(string | null)[]} categories of each mask
 * @param {Class[]} classes of the selection
 * @param {number} value the class in use
 * @returns {Start | null}
 */
function startOfMasks(categories, classes, value) {
  /** @type {Class[]} */
  const missing = [];
  const values = new Map();
  categories.forEach((name, i) => {
    if (name === null) {
      values.set(i + 1, value);
      return;
    }
    const all = [...classes, ...missing];
    let at = all.findIndex((one) => one.name === name);
    if (at < 0) at = all.push(newClass(all, missing, name)) - 1;
    values.set(i + 1, at + 1);
  });
  const used = namesOf([...classes, ...missing], values);
  return limited({ text: `${count(categories.length)} masks become ${used}`, missing, values }, classes);
}

/**
 * @param {Set<number>} found indexes
 * @param {Class[]} classes
 * @param {string[]} palette
 * @returns {Start | null}
 */
function startOfIndexes(found, classes, palette) {
  const indexes = [...found].filter((index) => index !== VOID_INDEX).sort((a, b) => a - b);
  const values = new Map(indexes.map((index) => [index, index]));
  const missing = numbered(Math.max(0, ...indexes), classes, palette);
  const used = namesOf([...classes, ...missing], values);
  return limited({ text: `its indexes become ${used}`, missing, values }, classes);
}

/**
 * @param {Set<number>} found grays
 * @param {number} most
 * @param {Class[]} classes
 * @param {number} value
 * @returns {Start}
 */
function startOfSoft(found, most, classes, value) {
  const inside = [...found].filter((gray) => gray >= SOFT_THRESHOLD * most);
  const from = Math.ceil(SOFT_THRESHOLD * most);
  return {
    text: `gray from ${from} on becomes ${classes[value - 1].name}`,
    missing: [],
    values: new Map(inside.map((gray) => [gray, value])),
  };
}

/**
 * @param {Set<number>} found labels
 * @param {Class[]} classes
 * @param {number} value
 * @returns {Start | null}
 */
function startOfLabels(found, classes, value) {
  const labels = [...found].sort((a, b) => a - b);
  if (labels.length === 1) {
    return {
      text: `it becomes ${classes[value - 1].name}`,
      missing: [],
      values: new Map([[labels[0], value]]),
    };
  }
  if (labels.length > MAX_CLASSES) return null;
  const isNumbered = labels.every((label) => label <= classes.length);
  const values = new Map(labels.map((label, i) => [label, isNumbered ? label : i + 1]));
  const missing = isNumbered ? [] : numbered(labels.length, classes);
  const used = namesOf([...classes, ...missing], values);
  const shown = labels.length > 6 ? `${count(labels.length)} values` : `the values ${labels.join(', ')}`;
  return limited({ text: `${shown} become ${used}`, missing, values }, classes);
}

/**
 * @param {number} wanted number of classes
 * @param {Class[]} classes that there are
 * @param {string[]} [palette] colours by class value
 * @returns {Class[]} those that are missing
 */
function numbered(wanted, classes, palette) {
  /** @type {Class[]} */
  const missing = [];
  while (classes.length + missing.length < wanted) {
    const all = [...classes, ...missing];
    newClass(all, missing, `Class ${all.length + 1}`, palette?.[all.length + 1]);
  }
  return missing;
}

/**
 * @param {Class[]} all
 * @param {Class[]} missing the class is appended to it
 * @param {string} name
 * @param {string} [color]
 */
function newClass(all, missing, name, color = unusedColor(all)) {
  const made = { name, color };
  missing.push(made);
  return made;
}

/** @param {Class[]} classes @param {Map<number, number>} values @returns {string} */
function namesOf(classes, values) {
  const used = [...new Set(values.values())].sort((a, b) => a - b).map((value) => classes[value - 1].name);
  if (!used.length) return 'nothing';
  return used.length > 6 ? `${used.slice(0, 5).join(', ')} and ${used.length - 5} more` : used.join(', ');
}

/**
 * @param {Start} start
 * @param {Class[]} classes
 * @returns {Start | null} null: it needs more classes than a selection can have
 */
function limited(start, classes) {
  return classes.length + start.missing.length <= MAX_CLASSES ? start : null;
}
