// One list of classes over a set of images. A class has the same id in each image, whatever its place in the image's list.

import { copyClass } from '../src/annotation.js';
import { MAX_CLASSES } from '../src/index.js';
import { Problem } from './api.js';
import { isClass } from './project.js';

/** @typedef {import('../src/annotation.js').Class} Class */

const FORMAT = 'superpixel-classes';
const VERSION = 1;

/** Limit on a file of classes, in bytes. */
const MAX_FILE = 1e6;

/**
 * @typedef {object} Ids
 * @property {number} next the id of the next new class: ids are never used again
 * @property {number[]} removed ids of classes that the user removed
 */

/**
 * Give ids to classes that have none: that of the schema's class of the same name, else a new one.
 *
 * @param {Class[]} classes
 * @param {readonly Class[]} schema
 * @param {Ids} ids
 */
export function giveIds(classes, schema, ids) {
  ids.next = Math.max(ids.next, 1, ...[...schema, ...classes].map(({ id = 0 }) => id + 1));
  const used = new Set(classes.map(({ id }) => id));
  for (const one of classes) {
    if (one.id !== undefined) continue;
    const same = schema.find(({ name, id }) => name === one.name && id !== undefined && !used.has(id));
    one.id = same?.id ?? ids.next++;
    used.add(one.id);
  }
}

/**
 * Learn from the list of the open image: it is the schema now.
 *
 * @param {Class[]} classes of the open image
 * @param {readonly Class[]} before the schema before
 * @param {Ids} ids
 * @returns {Class[]} the schema
 */
export function learn(classes, before, ids) {
  giveIds(classes, before, ids);
  const now = new Set(classes.map(({ id }) => id));
  const gone = before.flatMap(({ id }) => (id !== undefined && !now.has(id) ? [id] : []));
  ids.removed = [...new Set([...ids.removed, ...gone])].filter((id) => !now.has(id));
  return classes.map((one) => ({ ...one }));
}

/**
 * Adapt the classes of an image that is opened. Classes that have labels stay.
 *
 * @param {import('../src/index.js').Selection} selection
 * @param {readonly Class[]} schema
 * @param {Ids} ids
 */
export function reconcile(selection, schema, ids) {
  const { classes, objects } = selection;
  giveIds(classes, schema, ids);
  const removed = classes.filter(({ id = 0 }) => ids.removed.includes(id));
  if (removed.length) {
    const used = new Uint8Array(MAX_CLASSES + 1);
    for (const value of selection.annotation().mask) used[value] = 1;
    for (const one of objects) used[one.class] = 1;
    for (const one of removed) {
      const value = 1 + classes.indexOf(one);
      if (!used[value] && classes.length > 1) selection.removeClass(value);
    }
  }
  for (const wanted of schema) {
    const own = classes.find(({ id }) => id === wanted.id);
    if (own) Object.assign(own, wanted);
    else if (classes.length < MAX_CLASSES) classes.push({ ...wanted });
  }
}

/** @param {readonly Class[]} classes @returns {string} a file of them */
export function writeSchema(classes) {
  const listed = classes.map(({ name, color, id }) => ({ id, name, color }));
  return JSON.stringify({ format: FORMAT, version: VERSION, classes: listed }, null, 2);
}

/** @param {Blob} file untrusted @returns {Promise<Class[]>} rejects with a Problem */
export async function readSchema(file) {
  const fail = (/** @type {string} */ text) => new Problem('This file of classes cannot be read', text);
  if (file.size > MAX_FILE) throw fail('It has more than 1 MB.');
  let data;
  try {
    data = JSON.parse(await file.text());
  } catch {
    throw fail('It is not JSON.');
  }
  if (data?.format !== FORMAT) throw fail(`Its format must be ${FORMAT}.`);
  if (data.version !== VERSION)
    throw fail(`It has version ${data.version}; this page reads version ${VERSION}.`);
  const { classes: listed } = data;
  // Python may write null for no id.
  const classes = Array.isArray(listed) ? listed.map((one) => ({ ...one, id: one?.id ?? undefined })) : null;
  const isList = classes && classes.length >= 1 && classes.length <= MAX_CLASSES;
  if (!isList || !classes.every(isClass))
    throw fail(`classes: must be 1 to ${MAX_CLASSES}, each with a name, a color #rrggbb, and perhaps an id.`);
  const ids = classes.flatMap(({ id }) => (id === undefined ? [] : [id]));
  if (new Set(ids).size < ids.length) throw fail('classes: two have the same id.');
  return classes.map(copyClass);
}

/**
 * Take the classes of a file into a list: those of the same id, else of the same name, are changed; others are added.
 *
 * @param {Class[]} classes
 * @param {readonly Class[]} loaded
 */
export function merge(classes, loaded) {
  for (const one of loaded) {
    const own =
      (one.id !== undefined && classes.find(({ id }) => id === one.id)) ||
      classes.find(({ name, id }) => name === one.name && (id === undefined || one.id === undefined));
    if (own) Object.assign(own, one);
    else if (classes.length < MAX_CLASSES) classes.push({ ...one });
  }
}
