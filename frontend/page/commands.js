// What the header and the toolbar do, alike on the page of whole images and on that of a large one.

import { button, byId } from './dom.js';
import { hideProblem } from './notices.js';

/**
 * Change the tool. It stays while a gesture is in progress.
 *
 * @param {import('./app.js').App} app
 * @param {string} id
 * @returns {boolean} whether it is another one now
 */
export function changeTool(app, id) {
  const before = app.tool;
  if (!app.stage.busy) app.settings.tool = id;
  const changed = app.tool !== before;
  if (changed) {
    if (app.stage.setsCorners) app.stage.cancel();
    before.deactivate?.(app);
    app.tool.activate?.(app);
    app.layers.redrawTop();
  }
  app.toolbar.show();
  app.saving.soon();
  return changed;
}

/**
 * Bind the buttons that both pages have, and more.
 *
 * @param {import('./app.js').App} app
 * @param {Record<string, () => unknown>} [more] by the buttons' ids
 */
export function bindButtons(app, more = {}) {
  const actions = {
    undo: () => app.undo(),
    redo: () => app.redo(),
    'zoom-in': () => app.zoomIn(),
    'zoom-out': () => app.zoomOut(),
    'zoom-fit': () => app.fit(),
    'help-button': showHelp,
    'problem-close': hideProblem,
    ...more,
  };
  for (const [id, action] of Object.entries(actions)) button(id).addEventListener('click', action);
}

export function showHelp() {
  byId('help', HTMLDialogElement).showModal();
}
