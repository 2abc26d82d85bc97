// What the browser keeps of the page of a large image. The work is kept by the program.

import { tools } from './shortcuts.js';

/** One page serves one store, but later another one may have its address. */
let key = '';

/**
 * @typedef {object} Settings
 * @property {string} tool
 * @property {number} value the class in use
 * @property {number} radius of the brush, CSS pixels
 * @property {boolean} hinted whether the hint for new users was shown
 * @property {import('../../src/annotation.js').Class[]} classes of the ordinary page; unused here
 * @property {{ left: number, top: number, zoom: number } | null} view
 */

/** @param {import('./api.js').Facts} facts @returns {Settings} */
export function readSettings({ name, width, height }) {
  key = `superpixel-large:${name}:${width}x${height}`;
  /** @type {Settings} */
  const settings = { tool: 'brush', value: 1, radius: 6, hinted: false, classes: [], view: null };
  try {
    const { tools: own = {}, ...found } = JSON.parse(localStorage.getItem(key) ?? '{}');
    Object.assign(settings, found);
    for (const tool of tools) Object.assign(tool.settings ?? {}, own[tool.id]);
    settings.view = JSON.parse(sessionStorage.getItem(key) ?? 'null');
  } catch {
    // nothing is kept, or not by this browser
  }
  return settings;
}

/** @param {Settings} settings */
export function keepSettings({ tool, value, radius, hinted, view }) {
  const own = Object.fromEntries(tools.map((one) => [one.id, one.settings]));
  try {
    localStorage.setItem(key, JSON.stringify({ tool, value, radius, hinted, tools: own }));
    sessionStorage.setItem(key, JSON.stringify(view));
  } catch {
    // a browser that stores nothing
  }
}
