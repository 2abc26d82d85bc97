import { any, input, make } from './dom.js';
import { titleOf } from './toolbar.js';
import { tools } from './tools/index.js';

/** @typedef {import('./app.js').App} App */

/**
 * A row of the help sheet, with the keyboard shortcuts that it describes.
 *
 * @typedef {object} Row
 * @property {string} shown what to press, as the sheet shows it
 * @property {string} text
 * @property {Record<string, (app: App) => unknown>} [keys] names as `nameOf` makes them
 */

/** @type {Row[]} */
const toolRows = tools.map((tool) => ({
  shown: tool.key.toUpperCase(),
  text: titleOf(tool),
  keys: { [tool.key]: (app) => app.setTool(tool.id) },
}));

/** @param {'drag' | 'corners'} way @returns {string} the tools that the keyboard uses this way */
const labelsOf = (way) =>
  tools
    .filter(({ byKeyboard }) => byKeyboard === way)
    .map(({ label }) => label)
    .join(', ');

/** @type {Row['keys']} */
const classKeys = {};
for (let i = 1; i <= 9; i++) classKeys[i] = (app) => app.classPanel.choose(i);

/** The help sheet. A shortcut exists only as a part of its row. @type {{ title: string, rows: Row[] }[]} */
const SECTIONS = [
  {
    title: 'Tools',
    rows: [
      ...toolRows,
      { shown: 'Space', text: 'hold and drag: pan with any tool' },
      { shown: 'Alt', text: 'hold: erase with any tool (or the right button)' },
    ],
  },
  {
    title: 'Settings',
    rows: [
      {
        shown: ', .',
        text: 'Larger, smaller superpixels (Alt and the wheel)',
        keys: { ',': (app) => app.sliders.stepSize(-1), '.': (app) => app.sliders.stepSize(1) },
      },
      {
        shown: '[ ]',
        text: 'Smaller, larger brush (Shift and the wheel)',
        keys: { '[': (app) => app.sliders.stepRadius(-1), ']': (app) => app.sliders.stepRadius(1) },
      },
      { shown: '1 … 9', text: 'Class', keys: classKeys },
      { shown: 'F2', text: 'Rename the class or object that has the focus (or double click it)' },
      { shown: 'C', text: 'New class', keys: { c: (app) => app.classPanel.add() } },
      { shown: 'N', text: 'New object of the class', keys: { n: (app) => app.objectPanel.add() } },
      { shown: 'V', text: 'Outlines on and off', keys: { v: (app) => app.sliders.toggle('lines') } },
      { shown: 'M', text: 'Fill on and off', keys: { m: (app) => app.sliders.toggle('fill') } },
    ],
  },
  {
    title: 'History and files',
    rows: [
      { shown: 'Ctrl Z', text: 'Undo', keys: { 'ctrl z': (app) => app.undo() } },
      {
        shown: 'Ctrl Shift Z',
        text: 'Redo (or Ctrl Y)',
        keys: { 'ctrl shift z': (app) => app.redo(), 'ctrl y': (app) => app.redo() },
      },
      {
        shown: 'Ctrl O',
        text: 'Open an image (or drop or paste one)',
        keys: { 'ctrl o': () => input('file-input').click() },
      },
      {
        shown: 'G',
        text: 'Use a mask or an edge map (or drop it on the photograph)',
        keys: { g: (app) => app.maskDialog.choose() },
      },
      {
        shown: 'K',
        text: 'Kept images and project files',
        keys: { k: (app) => app.library.show() },
      },
      {
        shown: 'PgUp PgDn',
        text: 'Previous, next image of the set',
        keys: { pageup: (app) => app.filmstrip.step(-1), pagedown: (app) => app.filmstrip.step(1) },
      },
      {
        shown: 'D',
        text: 'Image of the set: done, or not',
        keys: { d: (app) => app.filmstrip.toggleDone() },
      },
      {
        shown: 'Ctrl E',
        text: 'Export',
        keys: { 'ctrl e': (app) => app.work && any('export-menu').showPopover() },
      },
    ],
  },
  {
    title: 'View',
    rows: [
      {
        shown: '+ −',
        text: 'Zoom (or the wheel)',
        keys: { '+': (app) => app.zoomIn(), '=': (app) => app.zoomIn(), '-': (app) => app.zoomOut() },
      },
      { shown: '0', text: 'Fit to the window', keys: { 0: (app) => app.fit() } },
      { shown: 'U', text: 'Next gap: pixels without a class', keys: { u: (app) => app.checks.nextGap() } },
      { shown: '?', text: 'This sheet', keys: { '?': (app) => app.showHelp() } },
    ],
  },
  {
    title: 'Without a mouse',
    rows: [
      {
        shown: '← → ↑ ↓',
        text: 'on the image: move the cursor by half a superpixel; with Shift by a pixel',
      },
      { shown: 'Enter', text: 'use the tool there' },
      { shown: 'Enter', text: `${labelsOf('drag')}: begin; press it again to end` },
      { shown: 'Enter', text: `${labelsOf('corners')}: set a corner; Shift Enter closes it` },
      {
        shown: 'Backspace',
        text: `${labelsOf('corners')}: take back the last corner`,
        keys: { backspace: (app) => app.stage.removeCorner() },
      },
      { shown: 'Esc', text: 'cancel what is being drawn', keys: { escape: (app) => app.stage.cancel() } },
    ],
  },
  {
    title: 'Touch and pen',
    rows: [
      { shown: '1', text: 'finger: the tool' },
      { shown: '2', text: 'fingers: pan and zoom' },
      { shown: 'Pen', text: 'the tool; its other end erases; fingers then only move the image' },
    ],
  },
];

/** @param {HTMLElement} table */
export function fillHelp(table) {
  for (const { title, rows } of SECTIONS) {
    const list = make('dl');
    for (const { shown, text } of rows) {
      const marks = shown.split(' ').map((key) => make('kbd', { textContent: key }));
      list.append(make('dt', {}, ...marks), make('dd', { textContent: text }));
    }
    table.append(make('section', {}, make('h3', { textContent: title }), list));
  }
}

/** @returns {Map<string, (app: App) => unknown>} */
function shortcuts() {
  const found = new Map();
  for (const { keys = {} } of SECTIONS.flatMap(({ rows }) => rows)) {
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

/** @param {App} app */
export function listenForKeys(app) {
  const actions = shortcuts();
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
