import { readable } from './formats.js';
import { segment } from './segmenting.js';

/** Asks for the superpixels of the image that the user probably opens next. */
export class Ahead {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** The image in progress, and the end of its request. @type {{ key: string, end: Promise<void> } | null} */
    this._running = null;
  }

  /** @param {string} key of an image */
  want(key) {
    if (this._running) return;
    const end = this._make(key).catch(() => {}); // the user sees the error when the image is opened
    this._running = { key, end };
    end.then(() => (this._running = null));
  }

  /** Wait until a request for this image has ended. @param {string} key */
  async settle(key) {
    if (this._running?.key === key) await this._running.end;
  }

  /** @param {string} key */
  async _make(key) {
    const { saving, settings, tabs } = this._app;
    const kept = await saving.read(key);
    if (!kept || kept.work || kept.image.spx) return;
    const making = { compactness: settings.compactness, guidance: null };
    const { spx } = await segment(await readable(kept.image.blob), making, new AbortController().signal);
    if ((await tabs.open()).has(key)) return; // another tab was faster
    await saving.keep({ image: { ...kept.image, spx, ...making }, work: null, card: {} });
  }
}
