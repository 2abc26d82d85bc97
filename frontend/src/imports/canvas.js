// Masks drawn one over another become an annotation: a pixel belongs to the last mask that covers it.

import { MAX_CLASSES, MAX_OBJECTS } from '../annotation.js';
import { isIntegerIn } from '../errors.js';
import { fail, MAX_COVERED } from './checks.js';
import { colorOf } from './colors.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../annotation.js').Class} Class */

/** Masks of one image. A later mask covers earlier ones. */
export class Canvas {
  /**
   * @param {number} width pixels
   * @param {number} height pixels
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    /** 1 + the index in `masks` of the mask that covers each pixel, row by row. */
    this.owners = new Uint32Array(width * height);
    /** @type {{ class: number, name: string, isObject: boolean }[]} */
    this.masks = [];
    this._covered = 0;
  }

  /**
   * Begin the next mask.
   *
   * @param {number} value the class
   * @param {boolean} isObject false: its pixels have the class alone
   * @param {string} [name] of the object
   */
  begin(value, isObject, name = '') {
    this.masks.push({ class: value, name, isObject });
  }

  /**
   * Add pixels to the mask.
   *
   * @param {import('../runs.js').Runs} runs start and length of each run, row by row
   */
  rows(runs) {
    for (let i = 0; i < runs.length; i += 2) {
      this._cover(runs[i + 1]);
      this.owners.fill(this.masks.length, runs[i], runs[i] + runs[i + 1]);
    }
  }

  /**
   * Add pixels to the mask.
   *
   * @param {import('../runs.js').Runs} runs start and length of each run, column by column
   */
  columns(runs) {
    const { width, height, owners } = this;
    const owner = this.masks.length;
    for (let i = 0; i < runs.length; i += 2) {
      this._cover(runs[i + 1]);
      let x = Math.floor(runs[i] / height);
      let at = (runs[i] % height) * width + x;
      const end = width * height;
      for (let left = runs[i + 1]; left > 0; left--) {
        owners[at] = owner;
        at += width;
        if (at >= end) at = ++x;
      }
    }
  }

  /**
   * Give all pixels to masks by labels.
   *
   * @param {ArrayLike<number>} labels of the pixels, row by row
   * @param {Map<number, number>} owners 1 + the index of the mask of each label
   * @param {string} where the file must list the labels
   */
  label(labels, owners, where) {
    for (let i = 0; i < labels.length; i++) {
      const owner = labels[i] ? owners.get(labels[i]) : 0;
      if (owner === undefined) fail('png', `has the value ${labels[i]}, which ${where} must list`);
      this.owners[i] = owner;
    }
  }

  /** @param {number} pixels */
  _cover(pixels) {
    this._covered += pixels;
    if (this._covered > MAX_COVERED) fail('masks', `cover over ${MAX_COVERED} pixels in all`);
  }

  /**
   * @param {Class[]} classes
   * @returns {Annotation} objects without pixels are left out
   */
  annotation(classes) {
    const { width, height, owners, masks } = this;
    const mask = new Uint8Array(owners.length);
    const seen = new Uint8Array(masks.length + 1);
    for (const owner of owners) seen[owner] = 1;
    /** 1 + the index of the object of each mask. */
    const numbers = new Uint16Array(masks.length + 1);
    const values = new Uint8Array(masks.length + 1);
    /** @type {import('../annotation.js').Instance[]} */
    const objects = [];
    masks.forEach(({ class: value, name, isObject }, i) => {
      values[i + 1] = value;
      if (isObject && seen[i + 1]) numbers[i + 1] = objects.push({ class: value, name });
    });
    if (objects.length > MAX_OBJECTS) {
      fail('objects', `must be at most ${MAX_OBJECTS}, got ${objects.length}; read it with objects: false`);
    }
    const instances = objects.length ? new Uint16Array(owners.length) : null;
    for (let i = 0; i < owners.length; i++) {
      mask[i] = values[owners[i]];
      if (instances) instances[i] = numbers[owners[i]];
    }
    return { width, height, mask, classes, instances, objects };
  }
}

/** The classes of a file, found by what the file calls them. */
export class Classes {
  /** @param {readonly Class[]} known classes of the caller: a class of the same name has the same colour */
  constructor(known) {
    this._known = known;
    /** @type {Class[]} */
    this.all = [];
    /** @type {Map<unknown, number>} */
    this._values = new Map();
  }

  /**
   * @param {unknown} key the file's name or number of the class
   * @returns {number | undefined} its class value
   */
  find(key) {
    return this._values.get(key);
  }

  /**
   * @param {unknown} key
   * @param {string} name
   * @param {{ color?: unknown, id?: unknown }} [facts] ignored if they are not valid
   * @returns {number} the class value
   */
  add(key, name, { color, id } = {}) {
    const found = this._values.get(key);
    if (found) return found;
    if (this.all.length === MAX_CLASSES) fail('classes', `must be at most ${MAX_CLASSES}`);
    const known = this._known.find((one) => one.name === name);
    const isColor = typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color);
    /** @type {Class} */
    const made = { name, color: isColor ? color : (known?.color ?? colorOf(this.all)) };
    const valid = isIntegerIn(id, 1, 2 ** 31 - 1);
    if (valid && this.all.every((one) => one.id !== id)) made.id = Number(id);
    this._values.set(key, this.all.push(made));
    return this.all.length;
  }
}
