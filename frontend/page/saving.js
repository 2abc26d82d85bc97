import { say } from './notices.js';
import { tools } from './tools/index.js';

/** Milliseconds without a change until changes are stored. */
const WAIT = 400;

/** Limit on the numbers that stored undo steps consist of: some thousand strokes, one megabyte. */
const MAX_HISTORY = 300_000;

/** Keeps work and settings for a reload. */
export class Saving {
  /**
   * @param {import('./app.js').App} app
   * @param {import('./store.js').Store | null} store null: this browser stores nothing
   */
  constructor(app, store) {
    this._app = app;
    this._store = store;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    /** Numbers of changes made and stored. A reload aborts a write, so only a finished write counts. */
    this._made = 0;
    this._stored = 0;
    this._imageIsStored = false;
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'hidden') this.now();
    });
    addEventListener('pagehide', () => {
      if (!this.complete && app.work) this._store?.writeAtOnce(toKept(app.work));
    });
  }

  /** Whether there are changes that no write contains yet. */
  get due() {
    return this._timer !== undefined;
  }

  /** Whether the store has every change. */
  get complete() {
    return this._stored === this._made;
  }

  /** Store everything soon, with the changes that follow at once. */
  soon() {
    this._made++;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.now(), WAIT);
    document.documentElement.dataset.saved = 'false';
  }

  /** The image or its label map has changed, too: store everything soon. */
  imageChanged() {
    this._imageIsStored = false;
    this.soon();
  }

  /** Store everything now. */
  async now() {
    clearTimeout(this._timer);
    this._timer = undefined;
    const { _store: store, _app: app } = this;
    const { work, settings, classPanel } = app;
    if (!store || app.stage.busy) return;
    const made = this._made;
    try {
      settings.classes = classPanel.classes.map((one) => ({ ...one }));
      const ofTools = Object.assign({}, ...tools.map((tool) => tool.settings));
      const writes = [store.writeSettings({ ...settings, ...ofTools, last: work?.key })];
      if (work) {
        const { key, name, blob, origin } = work;
        const image = this._imageIsStored ? null : { key, name, blob, ...origin, opened: Date.now() };
        this._imageIsStored = true;
        writes.push(store.write(toKept(work), image));
      }
      await Promise.all(writes);
      this._stored = Math.max(this._stored, made);
      document.documentElement.dataset.saved = String(this.complete);
    } catch (error) {
      this._imageIsStored = false;
      say(`Your work cannot be kept for a reload: ${error instanceof Error ? error.message : error}`);
    }
  }

  /**
   * @param {string} key of an image
   * @returns the image and the work on it; null if there is none
   */
  async read(key) {
    return (await this._store?.read(key).catch(() => null)) ?? null;
  }

  /**
   * Read the settings into those of the page and of the tools.
   *
   * @returns {Promise<string | undefined>} key of the image that was open last
   */
  async readSettings() {
    const kept = await this._store?.readSettings().catch(() => null);
    if (!kept) return undefined;
    const { last, ...settings } = kept;
    for (const tool of tools) {
      for (const name of Object.keys(tool.settings ?? {})) {
        if (tool.settings && name in settings) tool.settings[name] = settings[name];
        delete settings[name];
      }
    }
    Object.assign(this._app.settings, settings);
    return last;
  }
}

/**
 * @param {import('./work.js').Work} work
 * @returns {import('./store.js').KeptWork}
 */
function toKept({ key, selection, level }) {
  return { key, selection: selection.toJSON(), steps: selection.history(MAX_HISTORY), count: level.count };
}
