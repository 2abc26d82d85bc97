// Reads COCO's instances and panoptic segmentation, and lists of masks as SAM writes them.

import { Canvas, Classes } from './canvas.js';
import { checkSize, fail, isRecord, list, shown } from './checks.js';
import { hexOf } from './colors.js';
import { MAX_CLASSES } from '../annotation.js';
import { isIntegerIn } from '../errors.js';
import { checkPoints, cocoPolygon } from './polygons.js';
import { cocoRuns } from './rle.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('./index.js').Wanted} Wanted */

/**
 * @param {any} content untrusted
 * @param {Wanted} wanted
 * @returns {Annotation}
 */
export function readCOCO(content, wanted) {
  const isList = Array.isArray(content);
  const all = list('annotations', isList ? content : content.annotations);
  const { found, width, height } = chooseImage(isList ? [] : content.images, wanted, all);
  const own = all.flatMap((one, i) => {
    const field = isList ? `[${i}]` : `annotations[${i}]`;
    if (!isRecord(one)) fail(field, `must be an object, got ${shown(one)}`);
    return found && one.image_id !== found.id ? [] : [{ one, field }];
  });
  const categories = categoriesOf(
    content.categories,
    own.map(({ one }) => one.category_id),
    wanted,
  );
  const canvas = new Canvas(width, height);
  for (const { one, field } of own) {
    begin(canvas, one, categories, wanted);
    draw(canvas, `${field}.segmentation`, one.segmentation);
  }
  return canvas.annotation(categories.all);
}

/**
 * @param {Canvas} canvas
 * @param {any} one annotation or segment; untrusted
 * @param {ReturnType<typeof categoriesOf>} categories
 * @param {Wanted} wanted
 */
function begin(canvas, one, categories, { objects }) {
  const { value, isThing } = categories.of(one.category_id);
  const name = one.attributes?.name;
  const isObject = objects && isThing && !one.iscrowd && one.isthing !== 0;
  canvas.begin(value, isObject, typeof name === 'string' ? name : '');
}

/**
 * @param {Canvas} canvas
 * @param {string} field
 * @param {any} mask polygons or run lengths; untrusted
 */
function draw(canvas, field, mask) {
  const { width, height } = canvas;
  if (Array.isArray(mask)) {
    mask.forEach((points, i) => {
      canvas.columns(cocoPolygon(checkPoints(`${field}[${i}]`, points), width, height));
    });
  } else if (isRecord(mask)) {
    canvas.columns(cocoRuns(field, mask, width, height));
  } else {
    fail(field, `must be polygons, or run lengths with size and counts, got ${shown(mask)}`);
  }
}

/**
 * @param {any} content untrusted
 * @param {Map<string, import('../png/index.js').Picture>} pictures the PNG files, by name
 * @param {Wanted} wanted
 * @returns {Annotation}
 */
export function readPanoptic(content, pictures, wanted) {
  const all = list('annotations', content.annotations);
  const { found } = chooseImage(content.images, wanted, []);
  const at = all.findIndex((one) => !found || one?.image_id === found.id);
  if (at < 0) fail('annotations', `must list the image ${shown(found.id)}`);
  const field = `annotations[${at}]`;
  const { file_name: name, segments_info: segments } = all[at];
  const picture = pictures.get(baseName(name)) ?? (pictures.size === 1 ? [...pictures.values()][0] : null);
  if (!picture) fail(field, `needs its PNG file ${shown(name)}, too`);
  const { width, height, values } = picture;
  if (found && (found.width !== width || found.height !== height)) {
    fail('png', `must be ${shown(found.width)} x ${shown(found.height)} pixels, got ${width} x ${height}`);
  }
  const rows = list(`${field}.segments_info`, segments);
  const categories = categoriesOf(
    content.categories,
    rows.map((one) => one?.category_id),
    wanted,
  );
  const canvas = new Canvas(width, height);
  /** @type {Map<number, number>} owner of each segment's id */
  const owners = new Map();
  rows.forEach((one, i) => {
    const place = `${field}.segments_info[${i}]`;
    if (!isRecord(one)) fail(place, `must be an object, got ${shown(one)}`);
    if (!isIntegerIn(one.id, 1, 2 ** 24 - 1) || owners.has(one.id)) {
      fail(`${place}.id`, `must be an integer from 1 to 16777215 that no other has, got ${shown(one.id)}`);
    }
    begin(canvas, one, categories, wanted);
    owners.set(one.id, i + 1);
  });
  canvas.label(values, owners, `${field}.segments_info`);
  return canvas.annotation(categories.all);
}

/**
 * The classes that a file calls categories.
 *
 * @param {any} listed untrusted
 * @param {unknown[]} used numbers of the categories that the image has
 * @param {Wanted} wanted
 */
function categoriesOf(listed, used, { classes, unnamed }) {
  const made = new Classes(classes);
  /** @type {Set<unknown>} */
  const stuff = new Set();
  const rows = list('categories', listed ?? []);
  const taken = new Set(used);
  rows.forEach((one, i) => {
    const valid = isRecord(one) && typeof one.name === 'string';
    if (!valid) fail(`categories[${i}]`, `must have an id and a name, got ${shown(one)}`);
    if (made.find(one.id)) fail(`categories[${i}].id`, `must be of one category, got ${shown(one.id)} twice`);
    // A data set may have more categories than an image can have classes.
    if (rows.length > MAX_CLASSES && !taken.has(one.id)) return;
    made.add(one.id, one.name, { color: hexOf(one.color) ?? one.color, id: one.id });
    if (one.isthing === 0 || one.isthing === false) stuff.add(one.id);
  });
  return {
    all: made.all,
    /** @param {unknown} id */
    of(id) {
      let value = made.find(id);
      if (!value && id === undefined) value = made.add(id, unnamed.name, unnamed);
      return { value: value ?? made.add(id, `Category ${shown(id)}`, { id }), isThing: !stuff.has(id) };
    },
  };
}

/**
 * @param {any} listed images of the file; untrusted
 * @param {Wanted} wanted
 * @param {any[]} masks untrusted; of images that are not listed, their run lengths give the size
 * @returns {{ found: any, width: number, height: number }} the image of that name, else the only one, else the only one of
 *   that size; null: the file lists none
 */
function chooseImage(listed, { name, width, height }, masks) {
  const all = list('images', listed ?? []);
  const same = all.filter((one) => one?.file_name === name);
  const named = same.length ? same : all.filter((one) => name && baseName(one?.file_name) === baseName(name));
  const sized = all.filter((one) => one?.width === width && one.height === height);
  const found = [named, all, sized].find((some) => some.length === 1)?.[0] ?? named[0] ?? null;
  if (all.length && !found) {
    fail('images', `must list ${shown(name)}; it has ${all.length} images, and none of that name`);
  }
  const own = masks.find((one) => Array.isArray(one?.segmentation?.size))?.segmentation.size ?? [
    height,
    width,
  ];
  const size = found?.width && found.height ? found : { width: own[1], height: own[0] };
  checkSize(found ? 'images' : 'size', size.width, size.height);
  return { found, width: size.width, height: size.height };
}

/** @param {any} path untrusted @returns {string} the file's name without folders */
const baseName = (path) => String(path).split(/[/\\]/).pop() ?? '';
