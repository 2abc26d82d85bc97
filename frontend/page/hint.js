import { any, button, make } from './dom.js';

/** The tools that do most of a labeller's work, best first, and what to do with each. @type {Record<string, string>} */
const LEADS = {
  smart: 'click an object; drag or turn the wheel to grow it',
  lasso: 'draw around an object',
  brush: 'correct the edges',
};

/** The hint for new users, over their first image, until they have used a tool. */
export class Hint {
  /**
   * @param {import('./app.js').App} app
   * @param {readonly import('./tools/tool.js').Tool[]} tools of the page
   */
  constructor(app, tools) {
    this._app = app;
    const rows = Object.entries(LEADS).flatMap(([id, text]) => {
      const tool = tools.find((one) => one.id === id);
      if (!tool) return [];
      const key = make('kbd', { textContent: tool.key.toUpperCase() });
      return [make('li', {}, key, make('b', { textContent: tool.label }), `: ${text}`)];
    });
    any('hint-tools').append(...rows);
    button('hint-close').addEventListener('click', () => this.done());
  }

  /** An image is open. */
  imageShown() {
    any('hint').hidden = this._app.settings.hinted;
  }

  /** The user has used a tool, or has read the hint. */
  done() {
    const { settings, saving } = this._app;
    if (settings.hinted) return;
    settings.hinted = true;
    any('hint').hidden = true;
    saving.soon();
  }
}
