// The classes of a data set.

import { MAX_CLASSES } from '../annotation.js';
import { check, isIntegerIn } from '../errors.js';

/** @typedef {import('../annotation.js').Class} Class */
/** @typedef {Class & { id: number }} SchemaClass */

const FORMAT = 'superpixel-classes';

/**
 * The classes of a data set, each with an `id` that never changes. Names and ids are unique. `Schema` of Python does the same.
 */
export class Schema {
  /**
   * @param {readonly Class[]} [classes] those without an `id` get the next free one
   * @param {object} [options]
   * @param {boolean} [options.fixed] true: no class is added later
   * @param {boolean} [options.idsDecide] true: a class with a known id is that class, also under another name: it was renamed
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: two classes have one name or one id, or there are over 254
   */
  constructor(classes = [], { fixed = false, idsDecide = false } = {}) {
    /** In the order in which they came, which never changes. @type {SchemaClass[]} */
    this.classes = [];
    this._fixed = false;
    this._idsDecide = idsDecide;
    this._next = 1 + Math.max(0, ...classes.map(({ id = 0 }) => id));
    this.merge(classes, 'the schema');
    this._fixed = fixed;
  }

  /**
   * Find classes in the schema, by their ids or else by their names; append missing ones.
   *
   * @param {readonly Class[]} classes of an annotation
   * @param {string} where what has these classes, for the error text
   * @returns {Uint8Array} 1 + classes.length: the class value in the schema of each class value
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: the schema has another name for an id, or another id for a name; two of the
   *   classes have one name; the schema is fixed, or would have over 254 classes. Then nothing is appended
   */
  merge(classes, where) {
    const all = [...this.classes];
    let next = this._next;
    const seen = new Set();
    const values = Uint8Array.of(
      0,
      ...classes.map(({ name, color, id }) => {
        let at = this._find(all, name, id, where);
        const known = at < 0 ? name : all[at].name;
        valid(!seen.has(known), `${where}: two have the name "${known}"`);
        seen.add(known);
        if (at < 0) {
          valid(!this._fixed, `${where}: "${name}" is not in the schema`);
          valid(all.length < MAX_CLASSES, `${where}: there would be over ${MAX_CLASSES}`);
          const number = id ?? next;
          next = Math.max(next, number + 1);
          at = all.push({ name, color, id: number }) - 1;
        }
        return at + 1;
      }),
    );
    this.classes = all;
    this._next = next;
    return values;
  }

  /**
   * @param {SchemaClass[]} all
   * @param {string} name
   * @param {number | undefined} id
   * @param {string} where
   * @returns {number} index; -1: there is none
   */
  _find(all, name, id, where) {
    const byName = all.findIndex((one) => one.name === name);
    if (id === undefined) return byName;
    const byId = all.findIndex((one) => one.id === id);
    if (byId >= 0 && this._idsDecide) return byId;
    valid(
      byId < 0 || all[byId].name === name,
      `${where}: id ${id} is "${name}", and "${all[byId]?.name}" in the schema`,
    );
    valid(
      byName < 0 || all[byName].id === id,
      `${where}: "${name}" has the id ${id}, and ${all[byName]?.id} in the schema`,
    );
    return byId;
  }

  /** @returns {{ format: string, version: number, classes: SchemaClass[] }} plain data for JSON */
  toJSON() {
    const classes = this.classes.map(({ id, name, color }) => ({ id, name, color }));
    return { format: FORMAT, version: 1, classes };
  }

  /**
   * @param {any} data what `toJSON` returned; untrusted
   * @param {{ fixed?: boolean, idsDecide?: boolean }} [options] as for the constructor
   * @returns {Schema}
   * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: it is damaged; the text names the field
   */
  static fromJSON(data, options) {
    check(
      data?.format === FORMAT && data.version === 1,
      'INVALID_ARGUMENT',
      `schema: must be ${FORMAT} of version 1`,
    );
    const { classes } = data;
    valid(
      Array.isArray(classes) && classes.length <= MAX_CLASSES,
      `must be a list of at most ${MAX_CLASSES}`,
    );
    classes.forEach((/** @type {any} */ one, /** @type {number} */ i) => {
      const isText = typeof one?.name === 'string' && /^#[0-9a-f]{6}$/i.test(one.color);
      const hasId = one?.id === undefined || one.id === null || isIntegerIn(one.id, 1, 2 ** 31 - 1);
      check(
        isText && hasId,
        'INVALID_ARGUMENT',
        `classes[${i}]: must have a name, a color #rrggbb, and maybe an id from 1 to 2147483647`,
      );
    });
    const rows = classes.map(({ name, color, id }) => ({ name, color, ...(id ? { id } : {}) }));
    return new Schema(rows, options);
  }
}

/**
 * @param {unknown} condition
 * @param {string} text
 * @returns {asserts condition}
 */
function valid(condition, text) {
  check(condition, 'INVALID_ARGUMENT', `classes: ${text}`);
}
