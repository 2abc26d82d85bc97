// Undo and redo of one step, and the renumbering of values that the removal of a class or an object makes necessary.

import { copyClass, FIRST_OBJECT, MAX_CLASSES, MAX_OBJECTS } from './annotation.js';
import { checkInteger } from './errors.js';

/** @typedef {import('./history.js').Changes} Changes */
/** @typedef {import('./history.js').Step} Step */
/** @typedef {import('./state.js').SelectionState} SelectionState */

/**
 * Undo or redo a step. A step from untrusted data gives a selection whose values all exist, too.
 *
 * @param {SelectionState} selection
 * @param {Step} step
 * @param {boolean} back true: undo; false: redo
 */
export function applyStep(selection, step, back) {
  // Values are written while the lists are long: before a removal, and after an insertion.
  const removes = Boolean(step.removed || step.objects?.some(({ to }) => !to));
  if (back === removes) renumber(selection, step, back);
  if (step.pixels.length) selection.pixels ??= new Uint16Array(selection.map.labels.length);
  const { classes, objects, regions, pixels } = selection;
  /** @type {(value: number) => number} */
  const sound = (value) =>
    value <= classes.length || (value >= FIRST_OBJECT && value < FIRST_OBJECT + objects.length) ? value : 0;
  replay(regions, step.regions, back, sound);
  if (pixels) replay(pixels, step.pixels, back, (paint) => paint && 1 + sound(paint - 1));
  if (back !== removes) renumber(selection, step, back);
}

/**
 * @param {Uint16Array} values
 * @param {Changes} changes
 * @param {boolean} back true: undo; false: redo
 * @param {(value: number) => number} sound
 */
function replay(values, changes, back, sound) {
  for (let i = 0; i < changes.length; i += 4) {
    const at = back ? changes.length - 4 - i : i; // undo runs backwards: a step may have changed an entry twice
    values.fill(sound(changes[at + (back ? 2 : 3)]), changes[at], changes[at] + changes[at + 1]);
  }
}

/**
 * Change the lists of classes and objects as a step did, and with them the values of regions and pixels. Values of what
 * is removed become 0.
 *
 * @param {SelectionState} selection
 * @param {Step} step
 * @param {boolean} back true: undo
 */
export function renumber({ classes, objects, regions, pixels }, step, back) {
  const { removed, added, edited, objects: changes = [] } = step;
  if (edited) classes[edited.at - 1] = copyClass(back ? edited.from : edited.to);
  const [appears, goes] = back ? [removed, added] : [added, removed];
  if (!appears && !goes && !changes.length) return;
  checkInteger('classes', classes.length, 0, MAX_CLASSES - Number(Boolean(appears)));
  // Each class and object with the value that it has now; 0 if it has none yet.
  const ofClasses = classes.map((one, i) => ({ one, value: i + 1 }));
  const ofObjects = objects.map((one, i) => ({ one, value: FIRST_OBJECT + i }));
  if (appears) ofClasses.splice(appears.at - 1, 0, { one: copyClass(appears.class), value: 0 });
  if (appears) shift(ofObjects, appears.at, 1);
  for (const { at, from, to } of back ? changes.slice().reverse() : changes) {
    const [gone, made] = back ? [to, from] : [from, to];
    const value = gone && made ? (ofObjects[at]?.value ?? 0) : 0;
    ofObjects.splice(at, gone ? 1 : 0, ...(made ? [{ one: { ...made }, value }] : []));
  }
  if (goes) {
    ofClasses.splice(goes.at - 1, 1);
    shift(ofObjects, goes.at, -1);
  }
  const kept = ofObjects.filter(({ one }) => one.class >= 1 && one.class <= ofClasses.length);
  kept.length = Math.min(kept.length, MAX_OBJECTS);

  const before = classes.length;
  const becomes = new Uint16Array(FIRST_OBJECT + objects.length);
  ofClasses.forEach(({ value }, i) => value && (becomes[value] = i + 1));
  kept.forEach(({ value }, i) => value && (becomes[value] = FIRST_OBJECT + i));
  replaceAll(classes, ofClasses);
  replaceAll(objects, kept);
  if (becomes.every((now, value) => now === value || (value > before && value < FIRST_OBJECT))) return;
  for (let i = 0; i < regions.length; i++) regions[i] = becomes[regions[i]];
  for (let i = 0; pixels && i < pixels.length; i++) if (pixels[i]) pixels[i] = 1 + becomes[pixels[i] - 1];
}

/**
 * @param {{ one: import('./annotation.js').Instance }[]} objects
 * @param {number} at the class value that is inserted or removed
 * @param {number} by 1 or -1
 */
function shift(objects, at, by) {
  for (const entry of objects) {
    const { class: value, name } = entry.one;
    // An object of the removed class has none.
    if (value >= at) entry.one = { class: by < 0 && value === at ? 0 : value + by, name };
  }
}

/**
 * @template T
 * @param {T[]} list keeps its identity: callers have it
 * @param {{ one: T }[]} entries
 */
function replaceAll(list, entries) {
  list.length = entries.length;
  entries.forEach(({ one }, i) => (list[i] = one));
}
