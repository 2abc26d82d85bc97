// What the browser keeps of the page of a large image. The work is kept by the program.

import { tools } from './shortcuts.js';

const KEY = `superpixel-large:${location.pathname}`;

/**
 * @typedef {object} Settings
 * @property {string} tool
 * @property {number} value the class in use
 * @property {number} radius of the brush, CSS pixels
 * @property {boolean} hinted whether the hint for new users was shown
 * @property {import('../../src/annotation.js').Class[]} classes of the ordinary page; unused here
 * @property {{ left: number, top: number, zoom: number } | null} view
 */

/** @returns {Settings} */
export function readSettings() {
  /** @type {Settings} */
  const settings = { tool: 'brush', value: 1, radius: 6, hinted: false, classes: [], view: null };
  try {
    const { tools: own = {}, ...found } = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    Object.assign(settings, found);
    for (const tool of tools) Object.assign(tool.settings ?? {}, own[tool.id]);
    settings.view = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
  } catch {
    // nothing is kept, or not by this browser
  }
  return settings;
}

/** @param {Settings} settings */
export function keepSettings({ tool, value, radius, hinted, view }) {
  const own = Object.fromEntries(tools.map((one) => [one.id, one.settings]));
  try {
    localStorage.setItem(KEY, JSON.stringify({ tool, value, radius, hinted, tools: own }));
    sessionStorage.setItem(KEY, JSON.stringify(view));
  } catch {
    // a browser that stores nothing
  }
}
