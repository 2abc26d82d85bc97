// What the page says: the status line, the progress bar, the box for errors, and the line about the place under the pointer.

import { SuperpixelMapError } from '../src/index.js';
import { Problem } from './api.js';
import { any, count } from './dom.js';

/** @param {string} text */
export function say(text) {
  any('status').textContent = text;
}

/** @param {boolean} working */
export function showProgress(working) {
  any('progress').hidden = !working;
}

/** @param {unknown} error */
export function showProblem(error) {
  say('');
  const known = error instanceof Problem || error instanceof SuperpixelMapError;
  const facts = error instanceof Problem ? error.facts : {};
  if (!known) console.error(error);
  any('problem-title').textContent =
    error instanceof Problem ? error.title : known ? 'This label map cannot be read' : 'Something went wrong';
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
    const members = level.members(region);
    const first = selection.regions[members[0]];
    const partly = members.some((member) => selection.regions[member] !== first);
    const chosen = value ? selection.classes[value - 1].name : 'not chosen';
    const [x, y] = point.map(Math.floor);
    text = `${chosen}${partly ? ' (superpixel partly chosen)' : ''} · ${count(level.area(region))} px · ${x}, ${y}`;
  }
  any('hover').textContent = aloud ? '' : text;
  if (aloud) say(text);
}
