import { checkClasses, classTable, copyClass, FIRST_OBJECT, MAX_CLASSES } from './annotation.js';
import { check, checkInteger } from './errors.js';
import { boxOf, UndoHistory } from './history.js';
import { applyStep } from './replay.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./annotation.js').Annotation} Annotation */
/** @typedef {import('./annotation.js').Class} Class */
/** @typedef {import('./annotation.js').Instance} Instance */
/** @typedef {import('./boxes.js').Box} Box */
/** @typedef {import('./history.js').History} History */
/** @typedef {import('./history.js').Step} Step */

/** What a selection stores, and its undo steps. Callers use `Selection`. */
export class SelectionState {
  /**
   * @param {LabelMap} map
   * @param {Class[]} [classes] the caller may append to it and rename its classes; `addClass` and `editClass` do so as an undo
   *   step, and `removeClass` removes one
   */
  constructor(map, classes = []) {
    checkClasses(classes, 'INVALID_ARGUMENT');
    this.classes = classes;
    /** The objects: value 256 is the first one. Only methods change it. @type {Instance[]} */
    this.objects = [];
    /**
     * What the map was made with, for example `{ compactness: 10 }`: stored with the selection.
     *
     * @type {import('./serialise.js').Parameters | null}
     */
    this.parameters = null;
    /** @type {LabelMap} */
    this.map = map;
    /** The value of each finest region. @type {Uint16Array} */
    this.regions = new Uint16Array(map.count);
    /**
     * Per pixel: 0 if it is not painted, else 1 + the painted value. Null if nothing was painted yet.
     *
     * @type {Uint16Array | null}
     */
    this.pixels = null;
    /**
     * Whether tools and masks must leave pixels of this value as they are: a class or an object, 0 for no class. Null: they
     * may change all. Undo, redo and the methods of classes and objects change all pixels in any case.
     *
     * @type {((value: number) => boolean) | null}
     */
    this.protects = null;
    /** 1 for each finest region that may contain paint; null: not computed. @type {Uint8Array | null} */
    this._spots = null;
    this._history = new UndoHistory();
  }

  // ---- reading

  /**
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @returns {number} the value of the pixel there: a class or an object; 0: no class, or outside the map or its mask
   */
  valueAt(x, y) {
    const { width, height, labels } = this.map;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) return 0;
    const pixel = Math.floor(y) * width + Math.floor(x);
    return this.pixels?.[pixel] ? this.pixels[pixel] - 1 : (this.regions[labels[pixel]] ?? 0);
  }

  /**
   * @param {number} value of a region or pixel
   * @returns {number} its class: of an object, that of the object
   */
  classOf(value) {
    return value < FIRST_OBJECT ? value : this.objects[value - FIRST_OBJECT].class;
  }

  /**
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @returns {number} the class value of the pixel there; 0: no class, or outside the map
   */
  classAt(x, y) {
    return this.classOf(this.valueAt(x, y));
  }

  /**
   * @param {number} x map pixels, may be fractional
   * @param {number} y map pixels, may be fractional
   * @returns {number} the object of the pixel there, 256 or more; 0: none
   */
  objectAt(x, y) {
    const value = this.valueAt(x, y);
    return value < FIRST_OBJECT ? 0 : value;
  }

  /** @returns {Uint16Array} the value of each pixel */
  _values() {
    const { regions, pixels } = this;
    const { labels, count } = this.map;
    const values = new Uint16Array(labels.length);
    for (let i = 0; i < values.length; i++) {
      values[i] = pixels?.[i] && labels[i] < count ? pixels[i] - 1 : regions[labels[i]];
    }
    return values;
  }

  /** @returns {Annotation} a copy, for exports */
  annotation() {
    const { width, height } = this.map;
    const values = this._values();
    const table = classTable(this.objects);
    const mask = new Uint8Array(values.length);
    for (let i = 0; i < mask.length; i++) mask[i] = table[values[i]];
    let instances = null;
    if (this.objects.length) {
      instances = values;
      for (let i = 0; i < values.length; i++) values[i] = Math.max(0, values[i] - FIRST_OBJECT + 1);
    }
    const objects = this.objects.map((one) => ({ ...one }));
    return { width, height, mask, classes: this.classes.map(copyClass), instances, objects };
  }

  // ---- undo steps

  get canUndo() {
    return this._history.done.length > 0;
  }

  get canRedo() {
    return this._history.undone.length > 0;
  }

  /** Make all changes until `end` one step, for example those of a stroke. */
  begin() {
    this._history.begin();
  }

  /** End the step that `begin` began. */
  end() {
    this._history.add(this._history.close('end'));
  }

  /**
   * Take back all changes since `begin`. They cannot be redone; steps undone earlier still can.
   *
   * @returns {Box | null}
   */
  cancel() {
    return this._apply(this._history.close('cancel'), true);
  }

  /** @returns {Box | null} */
  undo() {
    return this._replay(true);
  }

  /** @returns {Box | null} */
  redo() {
    return this._replay(false);
  }

  /**
   * The latest undo and redo steps as plain data for JSON. They reach back to the last change of the map at most.
   *
   * @param {number} [most] largest number of numbers in all steps together
   * @returns {History}
   */
  history(most = 1e6) {
    return this._history.latest(most);
  }

  // ---- internal

  /** @param {number} value a class or an object */
  _checkValue(value) {
    if (value >= FIRST_OBJECT)
      checkInteger('object', value, FIRST_OBJECT, FIRST_OBJECT + this.objects.length - 1);
    else this._checkClass(value, 0);
  }

  /**
   * @param {number} value
   * @param {number} least 0 or 1
   */
  _checkClass(value, least) {
    checkInteger('class', value, least, Math.min(this.classes.length, MAX_CLASSES));
    // The caller may have appended it.
    if (value) checkClasses([this.classes[value - 1]], 'INVALID_ARGUMENT');
  }

  /** @param {number} value of an object */
  _checkObject(value) {
    check(this.objects.length, 'INVALID_ARGUMENT', 'object: there are none');
    checkInteger('object', value, FIRST_OBJECT, FIRST_OBJECT + this.objects.length - 1);
  }

  /**
   * @param {Step} step that was just done
   * @returns {Box | null}
   */
  _record(step) {
    this._history.add(step);
    return boxOf(step, this.map);
  }

  /** @param {boolean} back true: undo; false: redo */
  _replay(back) {
    const step = this._history.take(back);
    return step ? this._apply(step, back) : null;
  }

  /**
   * @param {Step} step
   * @param {boolean} back true: undo; false: redo
   * @returns {Box | null}
   */
  _apply(step, back) {
    if (step.maps) this._set(back ? step.maps.from : step.maps.to);
    applyStep(this, step, back);
    this._spots = null;
    return boxOf(step, this.map);
  }

  /** @param {import('./history.js').State} state */
  _set(state) {
    Object.assign(this, state);
    this._spots = null;
  }
}
