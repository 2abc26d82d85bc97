// The files of a data set: several annotated images with one list of classes.

import { toCOCO, toIndexedPNG, toYOLO } from '../src/exports/index.js';

/** @typedef {import('../src/annotation.js').Annotation} Annotation */
/** @typedef {import('../src/annotation.js').Class} Class */
/** @typedef {{ path: string, content: string | Uint8Array<ArrayBuffer> }} File */
/** @typedef {'coco' | 'yolo' | 'png'} Format */

/** Largest value of a pixel in a PNG mask. */
const MAX_VALUE = 254;

/** Turns annotations into files, with class and annotation ids that are unique over the set. */
export class DataSet {
  /**
   * @param {Format} format
   * @param {Class[]} classes of the set, each with an id
   */
  constructor(format, classes) {
    this._format = format;
    this._classes = classes.slice().sort((a, b) => (a.id ?? 0) - (b.id ?? 0));
    /** @type {Map<number | undefined, number>} */
    this._places = new Map(this._classes.map(({ id }, i) => [id, i]));
    /** @type {{ images: any[], annotations: any[] }} */
    this._coco = { images: [], annotations: [] };
  }

  /**
   * @param {Annotation} annotation its classes have ids of the set
   * @param {string} fileName of the image, not yet used in the set
   * @returns {Promise<File[]>}
   */
  async add(annotation, fileName) {
    const stem = fileName.replace(/\.[^.]*$/, '');
    const common = this._inSet(annotation);
    if (this._format === 'yolo') return [{ path: `labels/${stem}.txt`, content: toYOLO(common) }];
    if (this._format === 'png') {
      const content = /** @type {Uint8Array<ArrayBuffer>} */ (await toIndexedPNG(this._withValues(common)));
      return [{ path: `masks/${stem}.png`, content }];
    }
    const { images, annotations } = this._coco;
    const imageId = images.length + 1;
    const one = toCOCO(common, { fileName, imageId });
    images.push(...one.images);
    for (const found of one.annotations) {
      const category = this._classes[found.category_id - 1].id;
      annotations.push({ ...found, id: annotations.length + 1, category_id: category });
    }
    return [];
  }

  /** @returns {File[]} those about the whole set */
  finish() {
    const classes = this._classes;
    if (this._format === 'yolo') {
      const names = classes.map(({ name }, i) => `  ${i}: ${JSON.stringify(name)}\n`).join('');
      const content = `path: .\ntrain: images\nval: images\nnc: ${classes.length}\nnames:\n${names}`;
      return [{ path: 'data.yaml', content }];
    }
    if (this._format === 'png') {
      const values = this._values();
      const legend = classes.map(({ name, color, id }, i) => ({ value: values[i], id, name, color }));
      return [{ path: 'legend.json', content: JSON.stringify({ background: 0, classes: legend }, null, 2) }];
    }
    const content = JSON.stringify({
      info: { description: 'Superpixel annotations', version: '1.0' },
      licenses: [],
      ...this._coco,
      categories: classes.map(({ id, name }) => ({ id, name })),
    });
    return [{ path: 'annotations.json', content }];
  }

  /** @param {Annotation} annotation @returns {Annotation} with the classes of the set */
  _inSet({ mask, classes, objects, ...rest }) {
    const table = Uint8Array.from({ length: 256 }, (_, value) => {
      if (!value || value > classes.length) return 0;
      return 1 + (this._places.get(classes[value - 1].id) ?? -1);
    });
    return {
      ...rest,
      mask: mask.map((value) => table[value]),
      classes: this._classes.map(({ name, color }) => ({ name, color })), // a value is a place in this list
      objects: objects?.map((one) => ({ ...one, class: table[one.class] })),
    };
  }

  /** @returns {number[]} the value of each class in PNG masks: its id, if all ids fit */
  _values() {
    const ids = this._classes.map(({ id = 0 }) => id);
    return Math.max(...ids) <= MAX_VALUE ? ids : ids.map((_, i) => i + 1);
  }

  /** @param {Annotation} annotation @returns {Annotation} whose mask has the values of PNG masks */
  _withValues({ mask, ...rest }) {
    const values = this._values();
    const classes = Array.from({ length: Math.max(...values) }, () => ({ name: '', color: '#000000' }));
    values.forEach((value, i) => (classes[value - 1] = this._classes[i]));
    return { ...rest, mask: mask.map((value) => (value ? values[value - 1] : 0)), classes };
  }
}
