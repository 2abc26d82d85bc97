// Superpixels that this browser makes itself, with the engine in WebAssembly.

import { Problem } from './api.js';

/** The reasons of problems, by the codes of the engine's errors. @type {Record<string, string>} */
const REASONS = { IMAGE_TOO_LARGE: 'IMAGE_TOO_MANY_PIXELS', INVALID_FILE: 'IMAGE_UNDECODABLE' };

/** @typedef {{ resolve: (answer: any) => void, reject: (error: unknown) => void, progress: (share: number) => void }} Call */

/** The engine of this page. */
class Engine {
  constructor() {
    /** @type {Worker | null} */
    this._worker = null;
    /** @type {Map<number, Call>} */
    this._calls = new Map();
    this._last = 0;
    /** Whether it is loaded: then it works without the gateway. */
    this.ready = false;
  }

  /** Load it. A page whose gateway has no engine goes on without. */
  async load() {
    await this._ask({});
    this.ready = true;
  }

  /**
   * @param {Blob} image
   * @param {import('./api.js').Making} making
   * @param {AbortSignal} signal
   * @param {(share: number) => void} progress called with the share of the work that is done
   * @returns {Promise<ArrayBuffer>} the label map; rejects with a Problem
   */
  async segment(image, making, signal, progress) {
    return (await this._ask({ image, making }, signal, progress)).spx;
  }

  /**
   * @param {object} message
   * @param {AbortSignal} [signal]
   * @param {(share: number) => void} [progress]
   * @returns {Promise<any>}
   */
  _ask(message, signal, progress = () => {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const worker = (this._worker ??= this._start());
      const id = ++this._last;
      this._calls.set(id, { resolve, reject, progress });
      signal?.addEventListener('abort', () => {
        worker.postMessage({ id, cancel: true });
        this._calls.delete(id);
        reject(signal.reason);
      });
      worker.postMessage({ id, ...message });
    });
  }

  _start() {
    const worker = new Worker(new URL('./engine-worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data: { id, share, error, code, ...answer } }) => {
      const call = this._calls.get(id);
      if (share !== undefined) return call?.progress(share);
      this._calls.delete(id);
      if (error === undefined) call?.resolve(answer);
      else call?.reject(new Problem('The engine failed', error, { reason: REASONS[code] ?? code }));
    };
    worker.onerror = () => {
      worker.terminate();
      this._worker = null;
      this.ready = false;
      const problem = new Problem('The engine failed', 'A worker of the page failed.', {
        reason: 'ENGINE_FAILED',
      });
      for (const { reject } of this._calls.values()) reject(problem);
      this._calls.clear();
    };
    return worker;
  }
}

export const engine = new Engine();
