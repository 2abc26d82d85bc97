import { polygon, rectangle as cornersOf } from '../../src/shapes.js';
import { Preview, regionsInBox } from '../preview.js';

/** @typedef {import('../../src/shapes.js').Point} Point */

const preview = new Preview();

/** @param {Point[]} path */
function boxOf(path) {
  const [[x0, y0], [x1, y1]] = [path[0], path[path.length - 1]];
  return { x0, y0, x1, y1 };
}

/** @type {import('./tool.js').Tool} */
export const rectangle = {
  id: 'rectangle',
  key: 'r',
  label: 'Rectangle',
  summary: 'superpixels at least half inside',
  hint: 'Takes the superpixels that are at least half inside.',
  icon: '<path d="M4 6.5h16v11H4z" stroke-dasharray="3 2" />',
  byKeyboard: 'drag',
  up(gesture) {
    const { selection, level, path, last, value } = gesture;
    const box = boxOf(path);
    const tiny = Math.abs(box.x1 - box.x0) < 1 && Math.abs(box.y1 - box.y0) < 1;
    if (tiny) {
      gesture.redraw(selection.click(level, ...last, value));
      return;
    }
    const { width, height } = level.map;
    const shape = polygon(cornersOf(box.x0, box.y0, box.x1, box.y1), width, height);
    gesture.redraw(selection.choose(level, regionsInBox(level, shape), value, shape));
  },
  draw(layers, gesture) {
    if (!gesture) return;
    const { x0, y0, x1, y1 } = boxOf(gesture.path);
    const corners = cornersOf(x0, y0, x1, y1);
    if (gesture.path.length > 1) preview.draw(layers, gesture, corners);
    layers.drawOutline(corners);
  },
};
