// The keyboard shortcuts of the page of a large image, and its help sheet.

import { any } from '../dom.js';
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
} from '../keys.js';
import { brush } from '../tools/brush.js';
import { eraser } from '../tools/eraser.js';
import { pan } from '../tools/pan.js';
import { smart } from '../tools/smart.js';

/** The tools that work on the superpixels in view, in the order of the toolbar. @type {import('../tools/tool.js').Tool[]} */
export const tools = [smart, brush, eraser, pan];

/** @type {import('../keys.js').Section[]} */
export const SECTIONS = [
  toolSection(tools),
  { title: 'Settings', rows: [RADIUS_ROW, ...LIST_ROWS, ...SHOW_ROWS] },
  {
    title: 'History and files',
    rows: [
      ...HISTORY_ROWS,
      { shown: 'Ctrl E', text: 'Export', keys: { 'ctrl e': () => any('export-menu').showPopover() } },
    ],
  },
  { title: 'View', rows: [...ZOOM_ROWS, HELP_ROW] },
  {
    title: 'Without a mouse',
    rows: [
      { shown: '← → ↑ ↓', text: 'on the image: move it; the cursor stays in the middle' },
      USE_ROW,
      CANCEL_ROW,
    ],
  },
  TOUCH_SECTION,
];
