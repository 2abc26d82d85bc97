import { hideBanner, showBanner } from './banners.js';
import { say } from './notices.js';

/** Shows an image that another tab edits, and edits it when that tab ends. */
export class Following {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** Messages are handled in order. @type {Promise<void>} */
    this._queue = Promise.resolve();
    /** When the work that another tab sent last was changed, in milliseconds since 1970. */
    this._newest = 0;
    /** Number of changes when this tab's turn began: the last changes of the tab before may still arrive. */
    this._turnAt = -1;
    const later = (/** @type {() => Promise<void>} */ task) => {
      this._queue = this._queue.then(task).catch((error) => console.error(error));
    };
    app.tabs.onMessage = (message) => later(() => this._hear(message));
    app.tabs.onTurn = (key) => later(() => this._takeOver(key));
  }

  /** Whether another tab edits the open image. */
  get readOnly() {
    const { work, tabs } = this._app;
    return work !== null && !tabs.edits(work.key);
  }

  /** Another image is open, or the tab that edits it has changed. */
  show() {
    const { work, tabs } = this._app;
    document.documentElement.toggleAttribute('data-read-only', this.readOnly);
    if (!work || !this.readOnly) {
      hideBanner('follows');
      return;
    }
    const { key, name } = work;
    const text = `${name} is open in another tab. This tab shows it and follows; you can edit it in one tab at a time.`;
    showBanner('follows', text, { 'Edit here': () => tabs.post({ type: 'wanted', key }) }, 'status');
  }

  /** The open image has just been opened: get its latest state if another tab edits it. */
  begin() {
    const { work, tabs } = this._app;
    this._newest = 0;
    this._turnAt = -1;
    this.show();
    if (work && this.readOnly) tabs.post({ type: 'asked', key: work.key });
  }

  /** @param {import('./tabs.js').Message} message */
  async _hear({ type, key, entry }) {
    const { work, tabs, saving, opening, library, set } = this._app;
    if (type === 'listed') {
      library.changed();
      await set.load();
    } else if (type === 'asked') {
      const found = saving.latest(key);
      if (found && tabs.edits(key)) tabs.post({ type: 'changed', key, entry: found });
    } else if (type === 'wanted') {
      if (work?.key !== key || !tabs.edits(key)) return;
      await opening.idle();
      await saving.now();
      tabs.handOver(key);
      this.show();
    } else if (type === 'changed' && entry && work?.key === key) {
      const mayFollow = this.readOnly || saving.made === this._turnAt;
      if (mayFollow) await this._adopt(entry);
    }
  }

  /** @param {import('./store.js').Entry} entry */
  async _adopt(entry) {
    const changed = entry.work?.changed ?? 0;
    if (changed <= this._newest) return;
    this._newest = changed;
    await this._app.opening.adopt(entry);
  }

  /** @param {string} key */
  async _takeOver(key) {
    const { work, tabs, saving } = this._app;
    if (work?.key !== key) {
      tabs.release(key);
      return;
    }
    const kept = await saving.read(key);
    if (kept) await this._adopt({ ...kept, card: {} });
    this._turnAt = saving.made;
    this.show();
    say(`You can edit ${work.name} in this tab now`);
  }
}
