// The undo history. A step stores only the values that it changed.

import { FIRST_OBJECT, isClass, isObject, MAX_CLASSES, MAX_OBJECTS } from './annotation.js';
import { grow } from './boxes.js';
import { check, isIntegerIn } from './errors.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./runs.js').Runs} Runs */

/**
 * Changes of one array: start, length, value before, value after of each run.
 *
 * @typedef {number[]} Changes
 */

/**
 * A change of one object in the list of objects.
 *
 * @typedef {object} ObjectChange
 * @property {number} at its index in the list
 * @property {import('./annotation.js').Instance | null} from before; null: the step inserted it
 * @property {import('./annotation.js').Instance | null} to after; null: the step removed it
 */

/**
 * One undo step.
 *
 * @typedef {object} Step
 * @property {Changes} regions changes of `Selection.regions`
 * @property {Changes} pixels changes of `Selection.pixels`
 * @property {{ from: State, to: State }} [maps] set if the step changed the map
 * @property {{ at: number, class: import('./annotation.js').Class }} [removed] set if the step removed a class: its value,
 *   and the class itself
 * @property {{ at: number, class: import('./annotation.js').Class }} [added] set if the step added a class
 * @property {{ at: number, from: import('./annotation.js').Class, to: import('./annotation.js').Class }} [edited] set if the
 *   step renamed or coloured a class
 * @property {ObjectChange[]} [objects] changes of the list of objects, in this order. One step never inserts some and
 *   removes others.
 */

/**
 * The whole state on one map.
 *
 * @typedef {object} State
 * @property {LabelMap} map
 * @property {Uint16Array} regions
 * @property {Uint16Array | null} pixels
 */

/**
 * Undo and redo steps, the next one last: plain data for JSON.
 *
 * @typedef {object} History
 * @property {Step[]} done steps to undo
 * @property {Step[]} undone steps to redo
 */

/** The steps of one selection. The selection itself applies them. */
export class UndoHistory {
  constructor() {
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
    /** The step between `begin` and `close`. @type {Step | null} */
    this.open = null;
  }

  begin() {
    this.checkClosed('begin');
    this.open = { regions: [], pixels: [] };
  }

  /**
   * @param {string} method the caller's name, for the error text
   * @returns {Step} the step since `begin`
   */
  close(method) {
    const step = this.open;
    check(step, 'INVALID_ARGUMENT', `${method}: call begin() first`);
    this.open = null;
    return step;
  }

  /** @param {string} method the caller's name, for the error text */
  checkClosed(method) {
    check(!this.open, 'INVALID_ARGUMENT', `${method}: call end() or cancel() first`);
  }

  /**
   * Append a step that was just done, or merge it into the open one. A new step clears the redo list.
   *
   * @param {Step} step
   */
  add(step) {
    if (isEmpty(step)) return;
    if (this.open) {
      for (const part of step.regions) this.open.regions.push(part);
      for (const part of step.pixels) this.open.pixels.push(part);
      if (step.objects) this.open.objects = [...(this.open.objects ?? []), ...step.objects];
    } else {
      this.done.push(step);
      this.undone = [];
    }
  }

  /**
   * Move the next step to the other list.
   *
   * @param {boolean} back true: undo; false: redo
   * @returns {Step | undefined} the step, for the caller to apply
   */
  take(back) {
    this.checkClosed('undo, redo');
    const step = (back ? this.done : this.undone).pop();
    if (step) (back ? this.undone : this.done).push(step);
    return step;
  }

  /**
   * The latest steps as plain data. A step that changed the map, and all before it, are left out.
   *
   * @param {number} most largest number of numbers in all steps together
   * @returns {History}
   */
  latest(most) {
    /** @param {Step[]} steps */
    const fitting = (steps) => {
      let first = steps.length;
      while (first > 0 && !steps[first - 1].maps) {
        const { regions, pixels, objects = [] } = steps[first - 1];
        most -= regions.length + pixels.length + 8 * objects.length + 4;
        if (most < 0) break;
        first--;
      }
      return steps.slice(first);
    };
    return { done: fitting(this.done), undone: fitting(this.undone) };
  }

  /**
   * Replace all steps by those that `latest` returned.
   *
   * @param {History} history untrusted
   * @param {LabelMap} map
   * @param {number} classes number of classes now
   * @param {number} objects number of objects now
   * @throws {SuperpixelMapError} `INVALID_SELECTION`: a step is damaged
   */
  restore({ done, undone }, map, classes, objects) {
    this.done = checkedSteps(done, map, classes, objects, true);
    this.undone = checkedSteps(undone, map, classes, objects, false);
  }
}

/** @param {Step} step */
function isEmpty({ regions, pixels, maps, removed, added, edited, objects }) {
  return !(regions.length || pixels.length || maps || removed || added || edited || objects?.length);
}

/**
 * Check that steps are plain data of the right kind. `applyStep` keeps what they do within bounds.
 *
 * @param {Step[]} steps untrusted
 * @param {LabelMap} map
 * @param {number} classes number of classes now
 * @param {number} objects number of objects now
 * @param {boolean} back true: steps to undo; false: to redo
 */
function checkedSteps(steps, { count, labels }, classes, objects, back) {
  /** Largest number of objects during the step. */
  let most = objects;
  /** @type {(changes: Changes, size: number, first: number) => boolean} `first`: the number that stands for value 0 */
  const fit = (changes, size, first) =>
    Array.isArray(changes) &&
    changes.length % 4 === 0 &&
    changes.every((one, i) =>
      i % 4 < 2
        ? isIntegerIn(one, 0, i % 4 ? size - changes[i - 1] : size)
        : isIntegerIn(one, 0, classes + first) ||
          isIntegerIn(one, FIRST_OBJECT + first, FIRST_OBJECT + first + most - 1),
    );
  /** @type {(change: ObjectChange) => boolean} */
  const isChange = (change) => {
    const { at, from, to } = change ?? {};
    const [gone, made] = back ? [to, from] : [from, to];
    const valid =
      isIntegerIn(at, 0, objects - Number(gone !== null)) &&
      [from, to].every((one) => one === null || isObject(one, classes));
    objects += Number(made !== null) - Number(gone !== null);
    most = Math.max(most, objects);
    return valid && objects <= MAX_OBJECTS;
  };
  /** @type {(step: Step) => boolean} */
  const valid = (step) => {
    const { removed, added, edited, objects: changes = [] } = step ?? {};
    const [appears, goes] = back ? [removed, added] : [added, removed];
    if (appears) classes++;
    most = objects;
    const is = (/** @type {any} */ change, /** @type {any} */ one) =>
      !change || (isIntegerIn(change.at, 1, classes) && classes <= MAX_CLASSES && isClass(one));
    const fits =
      Array.isArray(changes) &&
      changes.length <= MAX_OBJECTS &&
      (back ? changes.slice().reverse() : changes).every(isChange) &&
      fit(step?.regions, count, 0) &&
      fit(step.pixels, labels.length, 1) &&
      !step.maps &&
      is(removed, removed?.class) &&
      is(added, added?.class) &&
      is(edited, edited?.from) &&
      is(edited, edited?.to);
    if (goes) classes--;
    return fits;
  };
  // The next step is the last one.
  check(
    Array.isArray(steps) && steps.slice().reverse().every(valid),
    'INVALID_SELECTION',
    'history: is damaged',
  );
  return steps.slice();
}

/**
 * @param {Step} step
 * @param {LabelMap} map after the step
 * @returns {import('./boxes.js').Box | null} the part of the map that the step changed
 */
export function boxOf(step, map) {
  const { width, height } = map;
  const { regions, pixels, objects = [] } = step;
  const { maps, removed, added, edited } = step;
  const all = maps || removed || added || edited || objects.some(({ from, to }) => from && to);
  if (all) return { x0: 0, y0: 0, x1: width, y1: height };
  if (!regions.length && !pixels.length) return null;
  const box = [width, height, 0, 0];
  const boxes = regions.length ? map.finest.boxes : [];
  for (let i = 0; i < regions.length; i += 4) {
    for (let at = 4 * regions[i], end = at + 4 * regions[i + 1]; at < end; at += 4) {
      grow(box, 0, boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]);
    }
  }
  for (let i = 0; i < pixels.length; i += 4) {
    const [y, x] = [Math.floor(pixels[i] / width), pixels[i] % width];
    const right = x + pixels[i + 1]; // beyond the width if the run continues in the next row
    grow(box, 0, right > width ? 0 : x, y, Math.min(right, width), y + Math.ceil(right / width));
  }
  const [x0, y0, x1, y1] = box;
  return { x0, y0, x1, y1 };
}

/**
 * Set runs of an array to one value.
 *
 * @param {Uint16Array} values
 * @param {Runs} runs
 * @param {number} value
 * @returns {Changes} of the entries that had another value
 */
export function write(values, runs, value) {
  /** @type {Changes} */
  const changes = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i], end = at + runs[i + 1]; at < end;) {
      const before = values[at];
      const start = at;
      while (at < end && values[at] === before) at++;
      const last = changes.length - 4;
      if (before === value) continue;
      if (changes[last] + changes[last + 1] === start && changes[last + 2] === before)
        changes[last + 1] += at - start;
      else changes.push(start, at - start, before, value);
      values.fill(value, start, at);
    }
  }
  return changes;
}
