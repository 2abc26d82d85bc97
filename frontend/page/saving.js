import { hideBanner, showBanner } from './banners.js';
import { whiteCanvas } from './canvas.js';
import { askToPersist, warnOfLittleRoom } from './room.js';
import { bytesOf, hasWork, isFull } from './store.js';
import { tools } from './tools/index.js';

/** Milliseconds without a change until changes are stored. */
const WAIT = 400;

/** Limit on the numbers that stored undo steps consist of: some thousand strokes, one megabyte. */
const MAX_HISTORY = 300_000;

/** Width and height of a thumbnail, at most. */
const THUMBNAIL = 160;

/** @typedef {import('./store.js').Entry} Entry */

/** Keeps work and settings for a reload. Work that the browser cannot store stays in memory until it can. */
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
    /** Entries that are not stored yet, by key. @type {Map<string, Entry>} */
    this._unsaved = new Map();
    /** The label map that is stored, by the image's key. @type {Map<string, ArrayBuffer | null>} */
    this._storedMaps = new Map();
    /** The writes in progress: they end in order. @type {Promise<void>} */
    this._writing = Promise.resolve();
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'hidden') this.now();
    });
    addEventListener('pagehide', () => this._leave());
    addEventListener('beforeunload', (event) => {
      if (!this._failed) return;
      this._collect();
      const works = [...this._unsaved.values()].map(({ work }) => work);
      if (works.some(hasWork)) event.preventDefault(); // the browser asks the user
    });
    /** Whether the last write failed. */
    this._failed = false;
  }

  /** The database; null: this browser stores nothing. */
  get store() {
    return this._store;
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

  /** Store everything now. */
  async now() {
    clearTimeout(this._timer);
    this._timer = undefined;
    const { _app: app } = this;
    if (app.stage.busy) return;
    const made = this._made;
    app.settings.classes = app.set.learn();
    const entry = this._collect();
    if (entry) app.tabs.post({ type: 'changed', key: entry.image.key, entry });
    this._writing = this._writing.then(() => this._flush(made));
    await this._writing;
  }

  /** @param {import('./work.js').Work} work @returns {Entry} */
  _entryOf(work) {
    const { key, name, blob, origin, opened } = work;
    const kept = toKept(work);
    const worked = hasWork(kept);
    if (worked) askToPersist();
    const { thumbnail, done } = work;
    return {
      image: { key, name, blob, ...origin },
      work: kept,
      card: { opened, worked, ...(thumbnail && { thumbnail }), ...(done !== undefined && { done }) },
    };
  }

  /**
   * Keep an image that need not be open.
   *
   * @param {Entry} entry
   */
  async keep(entry) {
    this._unsaved.set(entry.image.key, entry);
    this._storedMaps.delete(entry.image.key);
    this._writing = this._writing.then(() => this._flush(this._made));
    await this._writing;
  }

  /** @param {number} made number of changes when the write began */
  async _flush(made) {
    const { _store: store, _app: app } = this;
    if (!store) {
      if ([...this._unsaved.values()].some(({ work }) => hasWork(work)))
        this._fail('This browser stores nothing for this page');
      return;
    }
    try {
      const ofTools = Object.assign({}, ...tools.map((tool) => tool.settings));
      const { settings, work } = app;
      const writes = [store.writeSettings({ ...settings, ...ofTools, last: work?.key })];
      // Both begin at once: a reload may follow.
      for (const entry of this._unsaved.values()) writes.push(this._write(entry));
      await Promise.all(writes);
      this._stored = Math.max(this._stored, made);
      document.documentElement.dataset.saved = String(this.complete);
      this._failed = false;
      hideBanner('unsaved');
    } catch (error) {
      this._fail(
        isFull(error)
          ? "The browser's storage is full"
          : `The browser cannot store your work (${error instanceof Error ? error.message : error})`,
      );
    }
  }

  /** @param {Entry} entry */
  async _write(entry) {
    const { _store: store, _storedMaps: maps, _unsaved: unsaved } = this;
    const { key, spx } = entry.image;
    while (store) {
      try {
        await store.write(entry, maps.has(key) && maps.get(key) === spx);
        break;
      } catch (error) {
        if (!isFull(error) || !(await this._makeRoom())) throw error;
      }
    }
    const isNew = maps.get(key) !== spx;
    maps.set(key, spx);
    if (unsaved.get(key) === entry) unsaved.delete(key);
    this._app.tabs.post({ type: 'listed', key: '' });
    this._app.filmstrip.changed();
    if (this._app.work?.key !== key) this._app.tabs.release(key);
    if (isNew) await this._checkRoom(bytesOf(entry.image));
  }

  /** @param {string} reason */
  _fail(reason) {
    this._failed = true;
    hideBanner('room');
    const text = `${reason}. Your last changes are in this tab only: export them or save a project file before you close it.`;
    showBanner('unsaved', text, this._remedies());
  }

  /** What a user can do if there is no room. */
  _remedies() {
    const { _app: app } = this;
    return { 'Save project file': () => app.library.saveProject(), 'Kept images': () => app.library.show() };
  }

  /** @param {number} bytes of an image like those that will follow */
  async _checkRoom(bytes) {
    const free = (await this._deletable()).reduce((sum, card) => sum + card.bytes, 0);
    await warnOfLittleRoom(bytes, free, this._remedies());
  }

  /** Images without work that no tab has open and that are not in the set, the one opened last first. */
  async _deletable() {
    const open = await this._app.tabs.open();
    const cards = (await this._store?.cards()) ?? [];
    const inUse = new Set([...open, ...this._app.set.keys, ...this._unsaved.keys()]);
    return cards.filter(({ key, worked, done }) => !worked && !done && !inUse.has(key));
  }

  /** @returns {Promise<boolean>} whether an image without work was there to be deleted */
  async _makeRoom() {
    const oldest = (await this._deletable()).pop();
    if (!oldest) return false;
    await this._store?.delete(oldest.key);
    this._storedMaps.delete(oldest.key);
    return true;
  }

  /** The page closes: the other tabs and the next visit get the last changes. */
  _leave() {
    if (this.complete && !this._unsaved.size) return;
    this._collect();
    for (const [key, entry] of this._unsaved) {
      if (!entry.work) continue;
      this._store?.writeAtOnce(entry.work);
      this._app.tabs.post({ type: 'changed', key, entry });
    }
  }

  /** Note the state of the open image as not stored. @returns {Entry | null} null: this tab does not edit it */
  _collect() {
    const { work, tabs } = this._app;
    if (!work || !tabs.edits(work.key)) return null;
    const entry = this._entryOf(work);
    this._unsaved.set(work.key, entry);
    return entry;
  }

  /** Delete an image and the work on it. @param {string} key */
  async delete(key) {
    this._unsaved.delete(key);
    this._storedMaps.delete(key);
    await this._store?.delete(key);
  }

  /** Number of changes so far. */
  get made() {
    return this._made;
  }

  /** @returns {string[]} keys of the images whose changes are not stored yet */
  get unsavedKeys() {
    return [...this._unsaved.keys()];
  }

  /** @param {string} key @returns {Entry | null} the latest state of an image that this tab edits; null: it is stored */
  latest(key) {
    const { work } = this._app;
    return work?.key === key ? this._entryOf(work) : (this._unsaved.get(key) ?? null);
  }

  /** @returns {Promise<import('./store.js').Card[]>} of all kept images, the one opened last first */
  async cards() {
    const cards = (await this._store?.cards().catch(() => null)) ?? [];
    /** @type {Map<string, import('./store.js').Card>} */
    const all = new Map(cards.map((card) => [card.key, card]));
    for (const [key, { image, card }] of this._unsaved) {
      const first = { opened: Date.now(), worked: false, done: false, thumbnail: null };
      all.set(key, { ...first, ...all.get(key), ...card, key, name: image.name, bytes: bytesOf(image) });
    }
    return [...all.values()].sort((a, b) => b.opened - a.opened);
  }

  /** @param {string} key @returns {Promise<Entry | null>} the latest state of an image */
  async entry(key) {
    const latest = this.latest(key);
    if (latest) return latest;
    const kept = await this.read(key);
    return kept && { ...kept, card: {} };
  }

  /**
   * @param {string} key of an image
   * @returns {Promise<{ image: import('./store.js').KeptImage, work: import('./store.js').KeptWork | null } | null>}
   *   the image and the work on it; null if there is none
   */
  async read(key) {
    const unsaved = this._unsaved.get(key);
    if (unsaved) return unsaved;
    const kept = (await this._store?.read(key).catch(() => null)) ?? null;
    if (kept) this._storedMaps.set(key, kept.image.spx);
    return kept;
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
  return {
    key,
    selection: selection.toJSON(),
    steps: selection.history(MAX_HISTORY),
    count: level.count,
    changed: Date.now(),
  };
}

/**
 * @param {ImageBitmap} bitmap
 * @returns {Promise<Blob>}
 */
export function thumbnailOf(bitmap) {
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * scale)));
  const context = whiteCanvas(width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return context.canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
}
