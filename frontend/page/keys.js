// Keyboard shortcuts and the help sheet, from one list of rows.

import { showHelp } from './commands.js';
import { make } from './dom.js';
import { titleOf } from './toolbar.js';

/**
 * A row of the help sheet, with the keyboard shortcuts that it describes.
 *
 * @typedef {object} Row
 * @property {string} shown what to press, as the sheet shows it
 * @property {string} text
 * @property {Record<string, (app: any) => unknown>} [keys] names as `nameOf` makes them: a shortcut exists only as a part of its row
 *
 * @typedef {{ title: string, rows: Row[] }} Section
 */

/** @param {readonly import('./tools/tool.js').Tool[]} tools @returns {Section} */
export const toolSection = (tools) => ({
  title: 'Tools',
  rows: [
    ...tools.map((tool) => ({
      shown: tool.key.toUpperCase(),
      text: titleOf(tool),
      keys: { [tool.key]: (/** @type {any} */ app) => app.setTool(tool.id) },
    })),
    { shown: 'Space', text: 'hold and drag: pan with any tool' },
    { shown: 'Alt', text: 'hold: erase with any tool (or the right button)' },
  ],
});

/** @type {Row['keys']} */
const classKeys = {};
for (let i = 1; i <= 9; i++) classKeys[i] = (app) => app.classPanel.choose(i);

/** Rows of the classes and objects. @type {Row[]} */
export const LIST_ROWS = [
  { shown: '1 … 9', text: 'Class', keys: classKeys },
  { shown: 'F2', text: 'Rename the class or object that has the focus (or double click it)' },
  { shown: 'C', text: 'New class', keys: { c: (app) => app.classPanel.add() } },
  { shown: 'N', text: 'New object of the class', keys: { n: (app) => app.objectPanel.add() } },
];

/** @type {Row} */
export const RADIUS_ROW = {
  shown: '[ ]',
  text: 'Smaller, larger brush (Shift and the wheel)',
  keys: { '[': (app) => app.sliders.stepRadius(-1), ']': (app) => app.sliders.stepRadius(1) },
};

/** @type {Row[]} */
export const SHOW_ROWS = [
  { shown: 'V', text: 'Outlines on and off', keys: { v: (app) => app.sliders.toggle('lines') } },
  { shown: 'M', text: 'Fill on and off', keys: { m: (app) => app.sliders.toggle('fill') } },
];

/** @type {Row[]} */
export const HISTORY_ROWS = [
  { shown: 'Ctrl Z', text: 'Undo', keys: { 'ctrl z': (app) => app.undo() } },
  {
    shown: 'Ctrl Shift Z',
    text: 'Redo (or Ctrl Y)',
    keys: { 'ctrl shift z': (app) => app.redo(), 'ctrl y': (app) => app.redo() },
  },
];

/** @type {Row[]} */
export const ZOOM_ROWS = [
  {
    shown: '+ −',
    text: 'Zoom (or the wheel)',
    keys: { '+': (app) => app.zoomIn(), '=': (app) => app.zoomIn(), '-': (app) => app.zoomOut() },
  },
  { shown: '0', text: 'Fit to the window', keys: { 0: (app) => app.fit() } },
];

/** @type {Row} */
export const HELP_ROW = { shown: '?', text: 'This sheet', keys: { '?': showHelp } };

/** @type {Row} */
export const USE_ROW = { shown: 'Enter', text: 'use the tool there' };

/** @type {Row} */
export const CANCEL_ROW = {
  shown: 'Esc',
  text: 'cancel what is being drawn',
  keys: { escape: (app) => app.stage.cancel() },
};

/** @type {Section} */
export const TOUCH_SECTION = {
  title: 'Touch and pen',
  rows: [
    { shown: '1', text: 'finger: the tool' },
    { shown: '2', text: 'fingers: pan and zoom' },
    { shown: 'Pen', text: 'the tool; its other end erases; fingers then only move the image' },
  ],
};

/**
 * @param {HTMLElement} table
 * @param {readonly Section[]} sections
 */
export function fillHelp(table, sections) {
  for (const { title, rows } of sections) {
    const list = make('dl');
    for (const { shown, text } of rows) {
      const marks = shown.split(' ').map((key) => make('kbd', { textContent: key }));
      list.append(make('dt', {}, ...marks), make('dd', { textContent: text }));
    }
    table.append(make('section', {}, make('h3', { textContent: title }), list));
  }
}

/** @param {readonly Section[]} sections @returns {Map<string, (app: any) => unknown>} */
function shortcuts(sections) {
  const found = new Map();
  for (const { keys = {} } of sections.flatMap(({ rows }) => rows)) {
    for (const [name, run] of Object.entries(keys)) {
      if (found.has(name)) throw new Error(`two shortcuts use the key ${name}`);
      found.set(name, run);
    }
  }
  return found;
}

/** @param {KeyboardEvent} event @returns {string} the shortcut's name: plain keys have the same with Shift */
function nameOf({ key, ctrlKey, metaKey, shiftKey }) {
  const control = ctrlKey || metaKey;
  return `${control ? 'ctrl ' : ''}${control && shiftKey ? 'shift ' : ''}${key.toLowerCase()}`;
}

/**
 * @param {{ stage: import('./stage.js').Stage }} app what the shortcuts get
 * @param {readonly Section[]} sections
 */
export function listenForKeys(app, sections) {
  const actions = shortcuts(sections);
  /** Whether the focus came by the keyboard. After a click on a button, Space pans, and does not press the button again. */
  let tabbed = false;
  document.addEventListener('pointerdown', () => (tabbed = false), { capture: true });
  document.addEventListener('keydown', ({ key }) => (tabbed ||= key === 'Tab'), { capture: true });
  document.addEventListener('keydown', (event) => {
    const { target } = event;
    const writes = target instanceof HTMLInputElement && target.type === 'text';
    if (writes || document.querySelector('dialog[open]')) return;
    if (event.key === 'Escape' && document.querySelector(':popover-open')) return; // the browser closes the menu
    const slides = target instanceof HTMLInputElement && target.type === 'range';
    if (slides && event.key.startsWith('Page')) return;
    const control =
      target instanceof Element ? target.closest('button, select, input:not([type=range])') : null;
    const presses = control && (tabbed || control.closest('[popover]'));
    if (event.key === ' ' && !presses) {
      event.preventDefault();
      app.stage.spacePressed = true;
      app.stage.showTool();
      return;
    }
    const action = actions.get(nameOf(event));
    if (!action || (event.altKey && !event.ctrlKey && !event.metaKey)) return;
    event.preventDefault();
    action(app);
  });
}
