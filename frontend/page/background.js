/**
 * A worker that is started with the page and stays, so that it also works after the gateway has stopped. It answers one
 * message after the other: each answer has either the property `error`, or what was asked for.
 */
export class Background {
  /** @param {URL} script of a module worker, which answers each message with one message */
  constructor(script) {
    this._script = script;
    /** @type {{ resolve: (answer: any) => void, reject: (error: Error) => void }[]} */
    this._waiting = [];
    this._worker = this._start();
  }

  _start() {
    const worker = new Worker(this._script, { type: 'module' });
    worker.onmessage = ({ data }) => {
      const { resolve, reject } = this._waiting.shift() ?? {};
      if ('error' in data) reject?.(Object.assign(new Error(data.error), { code: data.code }));
      else resolve?.(data);
    };
    worker.onerror = () => {
      for (const { reject } of this._waiting.splice(0)) reject(new Error('a worker of the page failed'));
      worker.terminate();
      if (this._worker === worker) this._worker = this._start();
    };
    return worker;
  }

  /**
   * @param {any} message
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>} the answer
   */
  ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      this._waiting.push({ resolve, reject });
      this._worker.postMessage(message, transfer);
    });
  }
}
