// The keyboard shortcuts of the page, and its help sheet.

import { any, input } from './dom.js';
import {
  CANCEL_ROW,
  HELP_ROW,
  HISTORY_ROWS,
  LIST_ROWS,
  RADIUS_ROW,
  SHOW_ROWS,
  TOUCH_SECTION,
  toolSection,
  USE_ROW,
  ZOOM_ROWS,
} from './keys.js';
import { tools } from './tools/index.js';

/** @param {'drag' | 'corners'} way @returns {string} the tools that the keyboard uses this way */
const labelsOf = (way) =>
  tools
    .filter(({ byKeyboard }) => byKeyboard === way)
    .map(({ label }) => label)
    .join(', ');

/** The help sheet. @type {import('./keys.js').Section[]} */
export const SECTIONS = [
  toolSection(tools),
  {
    title: 'Settings',
    rows: [
      {
        shown: ', .',
        text: 'Larger, smaller superpixels (Alt and the wheel)',
        keys: { ',': (app) => app.sliders.stepSize(-1), '.': (app) => app.sliders.stepSize(1) },
      },
      RADIUS_ROW,
      ...LIST_ROWS,
      ...SHOW_ROWS,
    ],
  },
  {
    title: 'History and files',
    rows: [
      ...HISTORY_ROWS,
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
      ...ZOOM_ROWS,
      { shown: 'U', text: 'Next gap: pixels without a class', keys: { u: (app) => app.checks.nextGap() } },
      HELP_ROW,
    ],
  },
  {
    title: 'Without a mouse',
    rows: [
      {
        shown: '← → ↑ ↓',
        text: 'on the image: move the cursor by half a superpixel; with Shift by a pixel',
      },
      USE_ROW,
      { shown: 'Enter', text: `${labelsOf('drag')}: begin; press it again to end` },
      { shown: 'Enter', text: `${labelsOf('corners')}: set a corner; Shift Enter closes it` },
      {
        shown: 'Backspace',
        text: `${labelsOf('corners')}: take back the last corner`,
        keys: { backspace: (app) => app.stage.removeCorner() },
      },
      CANCEL_ROW,
    ],
  },
  TOUCH_SECTION,
];
