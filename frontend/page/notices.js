// What the page says: the status line, the progress bar, the box for errors, and the line about the place under the pointer.

import { FIRST_OBJECT, PARTLY, SuperpixelMapError } from '../src/index.js';
import { adviceFor } from './advice.js';
import { Problem } from './api.js';
import { any, button, count } from './dom.js';
import { toImage } from './place.js';

/** @param {string} text */
export function say(text) {
  any('status').textContent = text;
}

/**
 * @param {string} before
 * @param {string} text to say if the status line still says `before`
 */
export function sayAfter(before, text) {
  if (any('status').textContent === before) say(text);
}

/** @param {boolean} working */
export function showProgress(working) {
  any('progress').hidden = !working;
}

/** What the button Retry does. @type {(() => void) | null} */
let again = null;

/**
 * @param {unknown} error
 * @param {object} [context]
 * @param {string} [context.file] that it is about
 * @param {() => void} [context.retry] does the same once more
 */
export function showProblem(error, { file, retry } = {}) {
  say('');
  const known = error instanceof Problem || error instanceof SuperpixelMapError;
  const facts = error instanceof Problem ? error.facts : {};
  if (!known) console.error(error);
  const advice = error instanceof Problem ? adviceFor(facts) : null;
  const title =
    error instanceof Problem ? error.title : known ? 'This label map cannot be read' : 'Something went wrong';
  any('problem-title').textContent = advice
    ? advice.title.replace('FILE', file ?? 'The image')
    : file
      ? `${file}: ${title}`
      : title;
  const wait = facts.retryAfterSeconds
    ? ` It expects to have room in ${Math.ceil(facts.retryAfterSeconds)} s.`
    : '';
  any('problem-advice').textContent = advice ? advice.text + wait : '';
  again = (advice?.retry && retry) || null;
  button('problem-retry').hidden = !again;
  any('problem-detail').textContent = error instanceof Error ? error.message : String(error);
  any('problem-facts').textContent = [
    facts.reason,
    facts.field && `field ${facts.field}`,
    facts.requestId && `request ${facts.requestId}`,
  ]
    .filter(Boolean)
    .join('  ·  ');
  any('problem').hidden = false;
}

export function hideProblem() {
  any('problem').hidden = true;
}

/** Hide the problem, and do again what failed. */
export function retry() {
  hideProblem();
  again?.();
}

/**
 * @param {import('./work.js').Work | null} work
 * @param {import('../src/shapes.js').Point | null} point
 * @param {number} region of the level; -1: none
 * @param {boolean} aloud in the status line, which screen readers read out
 */
export function showHover(work, point, region, aloud) {
  let text = '';
  if (work && point && region >= 0) {
    const { selection, level } = work;
    const value = selection.classAt(...point);
    const object = selection.objects[selection.objectAt(...point) - FIRST_OBJECT];
    const members = level.members(region);
    const first = selection.regions[members[0]];
    const partly = first === PARTLY || members.some((member) => selection.regions[member] !== first);
    const chosen = value ? selection.classes[value - 1].name : 'not chosen';
    const named = object?.name ? ` ${object.name}` : '';
    const [x, y] = toImage(work.place, point).map(Math.floor);
    const area = level.area(region) * (work.place?.scale ?? 1) ** 2;
    text = `${chosen}${named}${partly ? ' (superpixel partly chosen)' : ''} · ${count(area)} px · ${x}, ${y}`;
  }
  any('hover').textContent = aloud ? '' : text;
  if (aloud) say(text);
}
