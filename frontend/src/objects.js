import { checkClasses, copyClass, FIRST_OBJECT, MAX_OBJECTS } from './annotation.js';
import { check, checkInteger } from './errors.js';
import { write } from './history.js';
import { findPieces } from './pieces.js';
import { renumber } from './replay.js';
import { append, runsOf } from './runs.js';
import { SelectionState } from './state.js';

/** @typedef {import('./annotation.js').Class} Class */
/** @typedef {import('./boxes.js').Box} Box */
/** @typedef {import('./history.js').ObjectChange} ObjectChange */
/** @typedef {import('./history.js').Step} Step */
/** @typedef {import('./runs.js').Runs} Runs */

/** The lists of a selection: classes, and objects. Callers use `Selection`. */
export class ObjectList extends SelectionState {
  /**
   * Append a class.
   *
   * @param {Class} added
   * @returns {Box | null}
   */
  addClass(added) {
    checkClasses([...this.classes, added], 'INVALID_ARGUMENT');
    return this._changeClasses({
      added: { at: this.classes.length + 1, class: copyClass(added) },
    });
  }

  /**
   * Rename or colour a class.
   *
   * @param {number} value the class, from 1
   * @param {Partial<Class>} changes
   * @returns {Box | null}
   */
  editClass(value, changes) {
    checkInteger('class', value, 1, this.classes.length);
    const from = this.classes[value - 1];
    const to = { ...from, ...changes };
    checkClasses([to], 'INVALID_ARGUMENT');
    return this._changeClasses({ edited: { at: value, from, to } });
  }

  /**
   * Remove a class. Its regions, pixels and objects get another class, or else go. The values of the classes behind it fall by one.
   *
   * @param {number} value the class, from 1
   * @param {number} [into] the other class; 0: none, and its objects are removed, too
   * @returns {Box | null}
   */
  removeClass(value, into = 0) {
    this._history.checkClosed('removeClass');
    checkInteger('class', value, 1, this.classes.length);
    this._checkClass(into, 0);
    check(into !== value, 'INVALID_ARGUMENT', 'into: must be another class');
    const own = this.objects.flatMap((from, at) =>
      from.class === value ? [{ at, from, to: { ...from, class: into } }] : [],
    );
    const gone = into ? [] : own.map(({ at }) => FIRST_OBJECT + at);
    const removed = { at: value, class: this.classes[value - 1] };
    return this._remove(gone, [value, ...gone], into, { removed, objects: into ? own : [] });
  }

  /**
   * Add an object without pixels. Tools and `paintPixels` take its value in place of a class.
   *
   * @param {number} value its class, from 1
   * @param {string} [name]
   * @returns {number} its value, 256 or more
   */
  addObject(value, name = '') {
    this._checkClass(value, 1);
    const at = this.objects.length;
    check(at < MAX_OBJECTS, 'INVALID_ARGUMENT', `objects: a selection has at most ${MAX_OBJECTS}`);
    this._change({ objects: [{ at, from: null, to: { class: value, name } }] });
    return FIRST_OBJECT + at;
  }

  /**
   * Give an object another class or another name.
   *
   * @param {number} value the object
   * @param {object} change
   * @param {number} [change.class]
   * @param {string} [change.name]
   * @returns {Box | null} the whole map if it changed
   */
  changeObject(value, change) {
    this._checkObject(value);
    const at = value - FIRST_OBJECT;
    const from = this.objects[at];
    const to = { class: change.class ?? from.class, name: change.name ?? from.name };
    this._checkClass(to.class, 1);
    const isSame = to.class === from.class && to.name === from.name;
    return isSame ? null : this._change({ objects: [{ at, from, to }] });
  }

  /**
   * Remove an object: its regions and pixels get no class, and the values of the objects behind it fall by one.
   *
   * @param {number} value the object
   * @returns {Box | null}
   */
  removeObject(value) {
    this._history.checkClosed('removeObject');
    this._checkObject(value);
    return this._remove([value], [value], 0);
  }

  /**
   * Join objects into the one that has the smallest value. It gets class and name of the first one given. The values of the
   * objects behind the others fall.
   *
   * @param {Iterable<number>} values the objects
   * @returns {Box | null}
   */
  joinObjects(values) {
    this._history.checkClosed('joinObjects');
    const given = [...new Set(values)];
    const [first, ...others] = given.slice().sort((a, b) => a - b);
    for (const value of [first, ...others]) this._checkObject(value);
    const [at, kept] = [first, given[0]].map((value) => value - FIRST_OBJECT);
    const changes = at === kept ? [] : [{ at, from: this.objects[at], to: { ...this.objects[kept] } }];
    return this._remove(others, others, first, { objects: changes });
  }

  /**
   * Make each 4-connected piece of an object an object of its own, of the same class. The largest piece, of equal ones the
   * first, stays; the others are appended in the order of their first pixels, row by row.
   *
   * @param {number} value the object
   * @returns {number[]} the values of all pieces, `value` first
   */
  splitObject(value) {
    this._checkObject(value);
    const { map, regions, objects } = this;
    const { width, height, labels } = map;
    const mask = Uint8Array.from(this._values(), (one) => Number(one === value));
    const { ids, stride, pieces } = findPieces({ mask, width, height });
    const before = FIRST_OBJECT + objects.length;
    const fits = objects.length + pieces.length - 1 <= MAX_OBJECTS;
    check(fits, 'INVALID_ARGUMENT', `objects: a selection has at most ${MAX_OBJECTS}`);
    if (pieces.length < 2) return [value];
    const largest = pieces.reduce((best, piece) => (piece.area > best.area ? piece : best));
    /** By id of the piece: its value. */
    const becomes = new Uint16Array(pieces.length + 1);
    for (const { id } of pieces) becomes[id] = before + id - (id > largest.id ? 2 : 1);
    becomes[largest.id] = value;
    /** @type {(i: number) => number} the new value of a pixel */
    const target = (i) => becomes[ids[(Math.floor(i / width) + 1) * stride + (i % width) + 1]];
    // A region moves if all of it that is not painted lies in one piece. The other pixels are painted.
    const moved = new Uint16Array(map.count);
    const torn = new Uint8Array(map.count);
    /** @type {(i: number) => boolean | number | undefined} */
    const isPaint = (i) => torn[labels[i]] || this.pixels?.[i];
    for (let i = 0; i < mask.length; i++) {
      if (!mask[i] || isPaint(i)) continue;
      if (moved[labels[i]] && moved[labels[i]] !== target(i)) torn[labels[i]] = 1;
      moved[labels[i]] = target(i);
    }
    /** Pixels to paint, by value. @type {Runs[]} */
    const runs = [];
    for (let i = 0; i < mask.length; i++) {
      if (mask[i] && isPaint(i) && target(i) !== value) append((runs[target(i)] ??= []), i);
    }
    const added = Array.from({ length: pieces.length - 1 }, (_, i) => before + i);
    /** @type {Step} */
    const step = {
      regions: [],
      pixels: [],
      objects: added.map((one) => ({
        at: one - FIRST_OBJECT,
        from: null,
        to: { class: this.classOf(value), name: '' },
      })),
    };
    renumber(this, step, false);
    moved.forEach((to, i) => {
      if (to && !torn[i]) for (const part of write(regions, [i, 1], to)) step.regions.push(part);
    });
    if (runs.length) this.pixels ??= new Uint16Array(labels.length);
    runs.forEach((some, to) => {
      for (const part of write(/** @type {Uint16Array} */ (this.pixels), some, 1 + to))
        step.pixels.push(part);
    });
    this._spots = null;
    this._record(step);
    return [value, ...added];
  }

  /** @returns {Uint32Array} the area of each object in pixels */
  objectAreas() {
    const { map, regions, pixels } = this;
    const areas = new Uint32Array(FIRST_OBJECT + this.objects.length);
    map.finest.areas.forEach((area, label) => (areas[regions[label]] += area));
    for (let i = 0; pixels && i < pixels.length; i++) {
      if (!pixels[i]) continue;
      areas[regions[map.labels[i]]]--;
      areas[pixels[i] - 1]++;
    }
    return areas.subarray(FIRST_OBJECT);
  }

  // ---- internal

  /**
   * @param {Pick<Step, 'added' | 'edited'>} change
   * @returns {Box | null}
   */
  _changeClasses(change) {
    this._history.checkClosed('addClass, editClass');
    return this._change(change);
  }

  /**
   * @param {Partial<Step>} change of the lists; it inserts no object in the middle
   * @returns {Box | null}
   */
  _change(change) {
    const step = { regions: [], pixels: [], ...change };
    renumber(this, step, false);
    return this._record(step);
  }

  /**
   * @param {number[]} gone objects that leave the list, ascending
   * @param {number[]} emptied classes and objects that lose their regions and pixels
   * @param {number} to the value that these get
   * @param {Partial<Step>} [more] what the step does besides; its changes of objects come first
   * @returns {Box | null}
   */
  _remove(gone, emptied, to, { removed, objects: first = [] } = {}) {
    const { regions, pixels, objects } = this;
    /** @type {ObjectChange[]} */
    const changes = gone.map((value) => {
      const at = value - FIRST_OBJECT;
      return { at, from: objects[at], to: null };
    });
    changes.push(...first);
    changes.reverse(); // from the end: no index moves before its turn
    const leaves = new Uint8Array(FIRST_OBJECT + objects.length);
    for (const value of emptied) leaves[value] = 1;
    /** @type {Step} */
    const step = {
      regions: write(
        regions,
        runsOf(regions, (value) => leaves[value]),
        to,
      ),
      pixels: pixels
        ? write(
            pixels,
            runsOf(pixels, (paint) => paint && leaves[paint - 1]),
            1 + to,
          )
        : [],
      ...(removed && { removed }),
      ...(changes.length && { objects: changes }),
    };
    renumber(this, step, false);
    return this._record(step);
  }
}
