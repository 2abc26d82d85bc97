import { FIRST_OBJECT, PARTLY, Selection } from '../../src/index.js';
import { boxOf } from '../../src/history.js';

/** @typedef {import('../../src/history.js').Step} Step */

/** The id of pixels that belong to no superpixel. */
const NO_REGION = 0xffffffff;

/**
 * What the server has to do for a step.
 *
 * @typedef {{ do: string, [name: string]: unknown }} Change of the classes or objects
 * @typedef {{ ids: number[], value: number }} Paint
 * @typedef {Step & { change?: Change }} SentStep
 */

/**
 * The parts of the work that do not depend on what is in view. The selections of all windows share them.
 *
 * @typedef {object} Shared
 * @property {import('../../src/annotation.js').Class[]} classes
 * @property {import('../../src/annotation.js').Instance[]} objects
 * @property {Float64Array} areas pixels of each value
 * @property {import('../../src/history.js').UndoHistory} history as many steps as the server has; only the server takes them back
 */

/** The selection in one window of a large image. Its steps say what the server has to do. */
export class WindowSelection extends Selection {
  /**
   * @param {import('./api.js').Superpixels} window
   * @param {Shared} shared
   */
  constructor({ map, values, ids }, shared) {
    super(map, shared.classes);
    this.objects = shared.objects;
    this.regions = values;
    this._history = shared.history;
    this._shared = shared;
    this._ids = ids;
    const outside = ids.indexOf(NO_REGION);
    /** The finest region that stands for pixels of no superpixel; undefined: there is none. */
    this.outsideRegion = outside < 0 ? undefined : outside;
  }

  /** @type {Selection['choose']} */
  choose(level, regions, value, shape) {
    const box = super.choose(level, regions, value, shape);
    if (this.outsideRegion !== undefined) this.regions[this.outsideRegion] = 0;
    return box;
  }

  /** @type {Selection['valueAt']} */
  valueAt(x, y) {
    const value = super.valueAt(x, y);
    return value === PARTLY ? 0 : value;
  }

  /** @returns {any} pixels of each object in the whole image; not 32 bits, for those of very large images */
  objectAreas() {
    return this._shared.areas.subarray(FIRST_OBJECT);
  }

  /** @param {SentStep} step @returns {Change | Paint} */
  requestOf(step) {
    if (step.change) return step.change;
    const { regions } = step;
    /** @type {number[]} */
    const ids = [];
    for (let i = 0; i < regions.length; i += 4) {
      for (let label = regions[i]; label < regions[i] + regions[i + 1]; label++) {
        if (label !== this.outsideRegion) ids.push(this._ids[label]);
      }
    }
    return { ids, value: regions[3] };
  }

  // ---- changes of the lists

  /** @type {Selection['addClass']} */
  addClass(added) {
    return this._asking({ do: 'addClass', class: added }, () => super.addClass(added));
  }

  /** @type {Selection['editClass']} */
  editClass(value, changes) {
    const edited = { ...this.classes[value - 1], ...changes };
    return this._asking({ do: 'editClass', value, class: edited }, () => super.editClass(value, changes));
  }

  /** @type {Selection['removeClass']} */
  removeClass(value, into = 0) {
    return this._asking({ do: 'removeClass', value, into }, () => super.removeClass(value, into));
  }

  /** @type {Selection['addObject']} */
  addObject(value, name = '') {
    return this._asking({ do: 'addObject', object: { class: value, name } }, () =>
      super.addObject(value, name),
    );
  }

  /** @type {Selection['changeObject']} */
  changeObject(value, change) {
    const object = { ...this.objects[value - FIRST_OBJECT], ...change };
    return this._asking({ do: 'changeObject', value, object }, () => super.changeObject(value, change));
  }

  /** @type {Selection['removeObject']} */
  removeObject(value) {
    return this._asking({ do: 'removeObject', value }, () => super.removeObject(value));
  }

  /** @type {Selection['joinObjects']} */
  joinObjects(values) {
    const given = [...values];
    return this._asking({ do: 'joinObjects', values: given }, () => super.joinObjects(given));
  }

  /**
   * @template T
   * @param {Change} change
   * @param {() => T} make changes the lists here
   * @returns {T}
   */
  _asking(change, make) {
    const { done } = this._history;
    const before = done.length;
    const result = make();
    if (done.length > before) /** @type {SentStep} */ (done[before]).change = change;
    return result;
  }

  /**
   * Take back what is not sent yet: a stroke that is cancelled.
   *
   * @param {Step} step
   */
  _apply(step) {
    const { regions } = step;
    for (let i = regions.length - 4; i >= 0; i -= 4) {
      this.regions.fill(regions[i + 2], regions[i], regions[i] + regions[i + 1]);
    }
    return boxOf(step, this.map);
  }
}
