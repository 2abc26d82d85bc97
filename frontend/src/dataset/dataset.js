// Annotations of many images as one data set. superpixel_service.client.exports.Dataset writes the same files.

import { FIRST_OBJECT } from '../annotation.js';
import { check } from '../errors.js';
import { RLE_IS_EXACT, toCOCO } from '../exports/coco.js';
import { toInstanceLegend, toInstancePNG } from '../exports/instances.js';
import { panopticCategories, toPanopticJSON, toPanopticPNG } from '../exports/panoptic.js';
import { toIndexedPNG } from '../exports/png.js';
import { loadSimplify } from '../exports/shapes.js';
import { toYOLO } from '../exports/yolo.js';
import { checkTolerance } from '../topology/tolerance.js';
import { Schema } from './schema.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {'coco' | 'panoptic' | 'yolo' | 'png'} Format */

/**
 * @typedef {object} DatasetFile
 * @property {string} path with `/` between folders
 * @property {Uint8Array | string | Blob} data
 */

/** @type {readonly Format[]} */
const FORMATS = ['coco', 'panoptic', 'yolo', 'png'];

/**
 * Annotations of many images as one data set, an image at a time. Ids are unique over all images. The files are, by format:
 *
 * - `coco`: instances.json;
 * - `panoptic`: panoptic.json, and panoptic/a.png for a.jpg;
 * - `yolo`: yolo/data.yaml, yolo/labels/train/a.txt, and yolo/images/train/a.jpg if the image is given;
 * - `png`: masks/a.png, whose values are the classes of masks/legend.json; and if there are objects, instances/a.png with its
 *   legend instances/a.json;
 * - always classes.json, the schema.
 */
export class Dataset {
  /**
   * @param {object} [options]
   * @param {Schema} [options.schema] the classes; classes of annotations are merged into it. Default: an empty one
   * @param {readonly Format[]} [options.formats] what to write. Default: all
   * @param {number} [options.simplify] pixels by which the borders of polygons in `coco` and `yolo` may move, the same for both
   *   neighbours; 0 (default): none moves. The other formats are exact
   * @param {boolean} [options.rle] true: `coco` as run lengths, which are exact for every reader; false: as polygons. Default:
   *   true without `simplify`
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: a format is unknown, `simplify` is not a number from 0 on, or it is given
   *   with `rle`
   */
  constructor({ schema = new Schema(), formats = FORMATS, simplify = 0, rle = simplify === 0 } = {}) {
    const unknown = formats.find((one) => !FORMATS.includes(one));
    check(
      unknown === undefined,
      'INVALID_ARGUMENT',
      `formats: must be of ${FORMATS.join(', ')}, got ${unknown}`,
    );
    checkTolerance(simplify);
    check(!rle || simplify === 0, 'INVALID_ARGUMENT', RLE_IS_EXACT);
    /** @readonly */
    this.schema = schema;
    this._formats = new Set(formats);
    this._rle = rle;
    this._simplify = simplify;
    /** Images by their names without suffixes. @type {Map<string, string>} */
    this._names = new Map();
    /** @type {Set<string>} */
    this._splits = new Set();
    /** Class values that have objects. @type {Set<number>} */
    this._things = new Set();
    /** Parts of COCO files. They are kept as text: less memory. */
    this._coco = { head: '', images: /** @type {string[]} */ ([]), rows: /** @type {string[]} */ ([]) };
    this._panoptic = { head: '', images: /** @type {string[]} */ ([]), rows: /** @type {string[]} */ ([]) };
  }

  /**
   * Add the annotation of an image.
   *
   * @param {string} name of the image's file, maybe with folders, as `street/a.jpg`
   * @param {Annotation} annotation its classes are merged into the schema
   * @param {object} [options]
   * @param {Blob | Uint8Array} [options.image] the image's file, for YOLO
   * @param {string} [options.split] YOLO's part of the data set, as `train` (default) or `val`
   * @returns {Promise<DatasetFile[]>} the image's own files; rejects with `INVALID_ARGUMENT`: the name is not a relative path,
   *   or another image has the same but for its suffix; or the classes contradict the schema. Then nothing was added
   */
  async add(name, annotation, { image, split = 'train' } = {}) {
    if (this._simplify) await loadSimplify();
    const stem = stemOf(name);
    check(
      /^[\w-]{1,40}$/.test(split),
      'INVALID_ARGUMENT',
      `split: must be letters and digits, got "${split}"`,
    );
    const other = this._names.get(stem.toLowerCase());
    check(
      other === undefined,
      'INVALID_ARGUMENT',
      `name: ${name}: ${other} has the same name but for its suffix`,
    );
    const values = this.schema.merge(annotation.classes, name);
    this._names.set(stem.toLowerCase(), name);
    const imageId = this._names.size;
    const { objects = [] } = annotation;
    const merged = {
      ...annotation,
      mask: annotation.mask.map((value) => values[value]),
      classes: this.schema.classes,
      objects: objects.map((one) => ({ ...one, class: values[one.class] })),
    };
    /** @type {DatasetFile[]} */
    const files = [];
    /** @type {(path: string, data: DatasetFile['data']) => void} */
    const write = (path, data) => files.push({ path, data });
    if (this._formats.has('coco')) {
      const { _rle: rle, _simplify: simplify } = this;
      collect(this._coco, toCOCO(merged, { fileName: name, imageId, rle, simplify }));
    }
    if (this._formats.has('panoptic')) {
      for (const one of merged.objects) this._things.add(one.class);
      collect(this._panoptic, toPanopticJSON(merged, { fileName: name, maskName: `${stem}.png`, imageId }));
      write(`panoptic/${stem}.png`, await toPanopticPNG(merged));
    }
    if (this._formats.has('yolo')) {
      this._splits.add(split);
      write(`yolo/labels/${split}/${stem}.txt`, toYOLO(merged, { simplify: this._simplify }));
      if (image) write(`yolo/images/${split}/${name}`, image);
    }
    if (this._formats.has('png')) {
      write(`masks/${stem}.png`, await toIndexedPNG(merged));
      if (objects.length) {
        write(`instances/${stem}.png`, await toInstancePNG(merged));
        write(`instances/${stem}.json`, JSON.stringify(toInstanceLegend(merged)));
      }
    }
    return files;
  }

  /** @returns {DatasetFile[]} the files about the whole set */
  finish() {
    const { classes } = this.schema;
    /** @type {DatasetFile[]} */
    const files = [{ path: 'classes.json', data: JSON.stringify(this.schema) }];
    if (this._formats.has('coco')) {
      const categories = classes.map(({ id, name }) => ({ id, name }));
      files.push({ path: 'instances.json', data: cocoFile(this._coco, categories) });
    }
    if (this._formats.has('panoptic')) {
      const categories = panopticCategories(classes, this._things);
      const things = new Set(categories.flatMap(({ id, isthing }) => (isthing ? [id] : [])));
      const rows = this._panoptic.rows.map((row) => withCrowds(row, things));
      files.push({ path: 'panoptic.json', data: cocoFile({ ...this._panoptic, rows }, categories) });
    }
    if (this._formats.has('yolo')) {
      files.push({ path: 'yolo/data.yaml', data: yoloSettings(classes, [...this._splits]) });
    }
    if (this._formats.has('png')) {
      const rows = classes.map(({ name, color, id }, i) => ({ value: i + 1, name, color, id }));
      files.push({ path: 'masks/legend.json', data: JSON.stringify({ classes: rows }) });
    }
    return files;
  }
}

/** @typedef {Dataset['_coco']} Parts */

/**
 * @param {Parts} parts
 * @param {any} content the data set of one image
 */
function collect(parts, { images, annotations, categories: _, ...head }) {
  parts.head = Object.entries(head)
    .map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},`)
    .join('');
  for (const one of images) parts.images.push(JSON.stringify(one));
  for (const one of annotations) {
    parts.rows.push(JSON.stringify('id' in one ? { ...one, id: parts.rows.length + 1 } : one));
  }
}

/**
 * @param {Parts} parts
 * @param {object[]} categories
 * @returns {Blob} it may be longer than a string can be
 */
function cocoFile({ head, images, rows }, categories) {
  const some = rows.flatMap((row, i) => (i ? [',', row] : [row]));
  const end = `],"categories":${JSON.stringify(categories)}}`;
  return new Blob([`{${head}"images":[${images.join(',')}],"annotations":[`, ...some, end], {
    type: 'application/json',
  });
}

/**
 * Pixels without an object are a crowd if their class has objects in any image.
 *
 * @param {string} row
 * @param {Set<number>} things ids of classes
 */
function withCrowds(row, things) {
  const one = JSON.parse(row);
  for (const segment of one.segments_info) {
    segment.iscrowd = Number(segment.id < FIRST_OBJECT && things.has(segment.category_id));
  }
  return JSON.stringify(one);
}

/**
 * YOLO's data.yaml. Ultralytics needs `train` and `val`; without images for `val` it is `train`.
 *
 * @param {{ name: string }[]} classes
 * @param {string[]} splits
 */
function yoloSettings(classes, splits) {
  const train = splits.includes('train') || !splits.length ? 'train' : splits[0];
  const parts = new Map([
    ['train', train],
    ['val', splits.includes('val') ? 'val' : train],
  ]);
  for (const split of splits) if (!parts.has(split)) parts.set(split, split);
  const lines = [...parts].map(([key, split]) => `${key}: images/${split}`);
  const names = classes.map(({ name }, i) => `  ${i}: ${quoted(name)}`);
  return `${[...lines, 'names:', ...names].join('\n')}\n`;
}

/**
 * YAML reads JSON's strings; only characters that it does not print need an escape.
 *
 * @param {string} text
 */
const quoted = (text) =>
  JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * @param {string} name of a file
 * @returns {string} without its suffix
 */
function stemOf(name) {
  const path = name.replace(/\\/g, '/').split('/');
  const sound = path.every((part) => part && part !== '.' && part !== '..') && !/[:\p{C}]/u.test(name);
  check(sound, 'INVALID_ARGUMENT', `name: must be a relative path of a file, got "${name}"`);
  const last = path.pop() ?? '';
  return [...path, last.replace(/(?<=.)\.[^.]*$/, '')].join('/');
}
