import { polygon } from '../../src/shapes.js';
import { Preview } from '../preview.js';

/** @typedef {import('../../src/shapes.js').Point} Point */
/** @typedef {import('../gesture.js').Gesture} Gesture */

/** A path that is smaller on the screen, in CSS pixels, is a click. */
const CLICK = 3;

/** @param {Gesture} gesture @param {Point[]} path */
function isClick({ app }, path) {
  const most = (CLICK * app.camera.ratio) / app.camera.scale;
  return path.every(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) <= most);
}

/**
 * The events of a tool that draws around an area, with its setting: whole superpixels, or exactly the pixels.
 *
 * @param {string} setting its name
 * @returns {Pick<import('./tool.js').Tool, 'settings' | 'options' | 'up' | 'draw'>}
 */
export function area(setting) {
  /** @type {Record<string, string>} */
  const settings = { [setting]: 'superpixels' };
  const preview = new Preview();
  const exact = () => settings[setting] === 'pixels';
  return {
    settings,
    options: [
      {
        kind: 'choice',
        setting,
        label: 'It takes',
        choices: [
          { value: 'superpixels', label: 'Superpixels', title: 'Superpixels that are at least half inside' },
          { value: 'pixels', label: 'Exact pixels', title: 'Exactly the pixels inside the line' },
        ],
      },
    ],
    up(gesture) {
      const { selection, level, path, last, value } = gesture;
      const { map } = level;
      if (isClick(gesture, path)) gesture.redraw(selection.click(level, ...last, value));
      else if (exact()) gesture.redraw(selection.paintRuns(polygon(path, map.width, map.height), value));
      else gesture.redraw(selection.lasso(level, path, value));
    },
    draw(layers, gesture) {
      if (!gesture) return;
      const path = gesture.pointer ? [...gesture.path, gesture.pointer] : gesture.path;
      if (path.length > 2 && !exact()) preview.draw(layers, gesture, path);
      layers.drawOutline(path, exact() ? gesture.color : undefined);
      if (gesture.tool.byCorners) layers.drawCorners(gesture.path);
    },
  };
}
