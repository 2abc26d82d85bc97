import { any, input, make } from './dom.js';

/** What the help sheet shows. */
const HELP = [
  {
    title: 'Tools',
    rows: [
      ['B', 'Brush: whole superpixels'],
      ['E', 'Eraser'],
      ['R', 'Rectangle: superpixels at least half inside'],
      ['L', 'Lasso: likewise'],
      ['F', 'Flood: similar neighbours'],
      ['P', 'Pixel brush: what superpixels get wrong'],
      ['H', 'Pan'],
      ['Space', 'hold and drag: pan with any tool'],
      ['Alt', 'hold: erase with any tool (or the right button)'],
    ],
  },
  {
    title: 'Settings',
    rows: [
      [', .', 'Larger, smaller superpixels (Alt and the wheel)'],
      ['[ ]', 'Smaller, larger brush'],
      ['1 … 9', 'Class'],
      ['N', 'New class'],
      ['V', 'Outlines on and off'],
      ['M', 'Fill on and off'],
    ],
  },
  {
    title: 'History and files',
    rows: [
      ['Ctrl Z', 'Undo'],
      ['Ctrl Shift Z', 'Redo (or Ctrl Y)'],
      ['Ctrl O', 'Open an image (or drop or paste one)'],
      ['Ctrl E', 'Export'],
    ],
  },
  {
    title: 'View',
    rows: [
      ['+ −', 'Zoom (or the wheel)'],
      ['0', 'Fit to the window'],
      ['?', 'This sheet'],
    ],
  },
  {
    title: 'Without a mouse',
    rows: [
      ['← → ↑ ↓', 'on the image: move the cursor by half a superpixel; with Shift by a pixel'],
      ['Enter', 'use the tool there; begins and ends a rectangle, sets corners of a lasso'],
      ['Shift Enter', 'close the lasso'],
      ['Esc', 'give up what is being drawn'],
    ],
  },
  {
    title: 'Touch and pen',
    rows: [
      ['1', 'finger: the tool'],
      ['2', 'fingers: pan and zoom'],
      ['Pen', 'the tool; its other end erases; fingers then only move the image'],
    ],
  },
];

/** @param {HTMLElement} table */
export function fillHelp(table) {
  for (const { title, rows } of HELP) {
    const list = make('dl');
    for (const [keys, text] of rows) {
      const marks = keys.split(' ').map((key) => make('kbd', { textContent: key }));
      list.append(make('dt', {}, ...marks), make('dd', { textContent: text }));
    }
    table.append(make('section', {}, make('h3', { textContent: title }), list));
  }
}

/** @param {import('./app.js').App} app */
export function listenForKeys(app) {
  /** @type {Record<string, () => unknown>} */
  const plain = {
    b: () => app.setTool('brush'),
    e: () => app.setTool('eraser'),
    r: () => app.setTool('rectangle'),
    l: () => app.setTool('lasso'),
    f: () => app.setTool('flood'),
    p: () => app.setTool('pixel'),
    h: () => app.setTool('pan'),
    ',': () => app.stepSize(-1),
    '.': () => app.stepSize(1),
    '[': () => app.stepRadius(-1),
    ']': () => app.stepRadius(1),
    n: () => app.addClass(),
    v: () => app.toggle('lines'),
    m: () => app.toggle('fill'),
    '+': () => app.zoom(1.5),
    '=': () => app.zoom(1.5),
    '-': () => app.zoom(1 / 1.5),
    0: () => app.fit(),
    '?': () => app.help(),
    escape: () => app.stage.cancel(),
  };
  for (let i = 1; i <= 9; i++) plain[i] = () => app.setClass(i);
  /** @type {Record<string, () => unknown>} */
  const withControl = {
    z: () => app.undo(),
    'shift z': () => app.redo(),
    y: () => app.redo(),
    o: () => input('file-input').click(),
    e: () => app.work && any('export-menu').showPopover(),
  };
  document.addEventListener('keydown', (event) => {
    const { target } = event;
    const writes = target instanceof HTMLInputElement && target.type === 'text';
    if (writes || document.querySelector('dialog[open]')) return;
    const key = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    // Elsewhere Space presses what has the focus.
    const presses = target instanceof Element && target.closest('button, input:not([type=range])');
    if (key === ' ' && !presses) {
      event.preventDefault();
      app.stage.spaceHeld = true;
      app.stage.showTool();
      return;
    }
    const action = control ? withControl[`${event.shiftKey ? 'shift ' : ''}${key}`] : plain[key];
    if (!action || (event.altKey && !control)) return;
    event.preventDefault();
    action();
  });
}
