// Masks, annotations and edge maps that a user drops on an open photograph.

import { MAX_CLASSES } from '../src/index.js';
import { maskBy, meaningOf, readAnnotation } from '../src/imports/index.js';
import { isGrayOrIndexed, pngHeader, readPNG } from '../src/png/index.js';
import { Problem } from './api.js';
import { count } from './dom.js';
import { writeNumbers } from './png.js';

/** @typedef {import('./work.js').Work} Work */
/** @typedef {import('../src/annotation.js').Annotation} Annotation */
/** @typedef {import('../src/annotation.js').Class} Class */

/**
 * A mask, an annotation or an edge map.
 *
 * @typedef {object} Rough
 * @property {string} name of the file
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {ArrayLike<number>} labels height * width: a label per pixel
 * @property {number} most the largest gray that the file can contain; 0 if it has labels
 * @property {boolean} looksLikeEdges
 * @property {Start | null} start how a selection can start from it; null: not possible
 */

/**
 * @typedef {object} Start
 * @property {string} text what the user reads
 * @property {() => Annotation} annotation what is imported
 */

/**
 * @param {File} file
 * @param {Work} work
 * @returns {Promise<boolean>} whether it may be a mask for the open photograph: JSON or text; or PNG, gray, with a palette,
 *   or as large as the photograph
 */
export async function mayBeMask(file, { map }) {
  if (isText(file)) return true;
  const header = pngHeader(new Uint8Array(await file.slice(0, 64).arrayBuffer()));
  if (!header) return false;
  return isGrayOrIndexed(header) || (header.width === map.width && header.height === map.height);
}

/** @param {File} file @returns {boolean} whether it is an annotation by its type or name */
export const isText = ({ type, name }) => type === 'application/json' || /\.(json|geojson|txt)$/i.test(name);

/**
 * @param {File[]} files that belong together
 * @param {Work} work
 * @param {number} value the class in use
 * @returns {Promise<Rough>} rejects with a Problem
 */
export async function readRough(files, work, value) {
  const { selection, map } = work;
  const unnamed = selection.classes[value - 1];
  const names = files.map((file) => file.name);
  const name = names.find((_, i) => isText(files[i])) ?? names[0];
  try {
    if (files.length === 1 && !isText(files[0])) {
      const picture = await readPNG(new Uint8Array(await files[0].arrayBuffer()));
      const { width, height, values: labels, most } = picture;
      const meaning = meaningOf(picture, selection.classes, unnamed);
      const start = meaning && { text: textOf(meaning, picture), annotation: () => maskBy(picture, meaning) };
      return {
        name,
        width,
        height,
        labels,
        most,
        looksLikeEdges: meaning?.kind === 'soft',
        start: limited(start, meaning?.classes),
      };
    }
    const { width, height } = map;
    const options = { name: work.name, width, height, classes: selection.classes, unnamed };
    const annotation = await readAnnotation(files, options);
    const start = { text: summaryOf(annotation), annotation: () => annotation };
    return {
      name,
      width: annotation.width,
      height: annotation.height,
      labels: labelsOf(annotation),
      most: 0,
      looksLikeEdges: false,
      start: limited(start, [...selection.classes, ...missingIn(annotation, selection.classes)]),
    };
  } catch (error) {
    throw new Problem(`${name} cannot be read`, error instanceof Error ? error.message : String(error));
  }
}

/**
 * The map as a PNG file, as the gateway takes it.
 *
 * @param {Rough} rough
 * @param {'edges' | 'prior'} field
 * @returns {Promise<Blob>}
 */
export async function pngOf({ labels, width, height, most }, field) {
  if (field === 'prior') return writeNumbers(labels, width, height);
  // Any label is an edge; gray keeps its strength.
  const strengths = Uint8Array.from(labels, (label) =>
    most ? Math.round((label * 255) / most) : label && 255,
  );
  return writeNumbers(strengths, width, height);
}

// ---- what the user reads

/** @param {import('../src/imports/masks.js').Meaning} meaning @param {{ most: number }} picture @returns {string} */
function textOf({ kind, classes, values, found }, { most }) {
  const used = namesOf(classes, values.values());
  if (kind === 'indexes') return `its indexes become ${used}`;
  if (kind === 'soft') return `gray from ${Math.ceil(most / 2)} on becomes ${used}`;
  if (kind === 'one') return `it becomes ${used}`;
  const shown = found.length > 6 ? `${count(found.length)} values` : `the values ${found.join(', ')}`;
  return `${shown} become ${used}`;
}

/** @param {Annotation} annotation @returns {string} */
function summaryOf({ mask, classes, instances, objects = [] }) {
  const values = new Set(mask);
  const stuff = new Set(instances ? mask.filter((_, i) => !instances[i]) : mask);
  for (const some of [values, stuff]) some.delete(0);
  return `${count(objects.length + stuff.size)} masks become ${namesOf(classes, values)}`;
}

/** @param {readonly Class[]} classes @param {Iterable<number>} values @returns {string} */
function namesOf(classes, values) {
  const used = [...new Set(values)].sort((a, b) => a - b).map((value) => classes[value - 1].name);
  if (!used.length) return 'nothing';
  return used.length > 6 ? `${used.slice(0, 5).join(', ')} and ${used.length - 5} more` : used.join(', ');
}

/** @param {Annotation} annotation @returns {Uint32Array} a label per pixel: of its object, else of its class */
const labelsOf = ({ mask, instances }) =>
  Uint32Array.from(mask, (value, i) => (instances?.[i] ? MAX_CLASSES + instances[i] : value));

/** @param {Annotation} annotation @param {readonly Class[]} own classes of the selection @returns {Class[]} those to append */
function missingIn({ mask, classes }, own) {
  const used = new Set(mask);
  return classes.filter((one, i) => used.has(i + 1) && !own.some(({ name }) => name === one.name));
}

/**
 * @param {Start | null} start
 * @param {readonly Class[]} [classes] that the selection would have
 * @returns {Start | null} null: too many
 */
const limited = (start, classes = []) => (classes.length <= MAX_CLASSES ? start : null);
