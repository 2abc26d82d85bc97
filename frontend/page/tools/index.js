import { brush } from './brush.js';
import { eraser } from './eraser.js';
import { flood } from './flood.js';
import { lasso } from './lasso.js';
import { pan } from './pan.js';
import { pixel } from './pixel.js';
import { polygon } from './polygon.js';
import { rectangle } from './rectangle.js';
import { smart } from './smart.js';

/** @typedef {import('./tool.js').Tool} Tool */

/** The tools, in the order of the toolbar. A new tool is one file in this folder and one entry here. @type {Tool[]} */
export const tools = [smart, brush, eraser, rectangle, lasso, polygon, flood, pixel, pan];
