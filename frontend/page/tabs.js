// One tab at a time edits an image: Web Locks decide which, and a channel carries its changes to the others.

const NAME = 'superpixel-app';

/** @param {string} key @returns {string} name of the lock of an image */
const lockOf = (key) => `${NAME}/image/${key}`;

/**
 * A message to the other tabs.
 *
 * - `changed`: the work on an image changed; `entry` has all of it
 * - `asked`: a tab that begins to follow asks for the state
 * - `wanted`: the user wants to edit the image in the sending tab
 * - `listed`: the list of kept images or the set changed
 *
 * @typedef {object} Message
 * @property {'changed' | 'asked' | 'wanted' | 'listed'} type
 * @property {string} key of the image; empty if the message is about no image
 * @property {import('./store.js').Entry} [entry]
 */

/** This tab among the tabs of the page. Without Web Locks (plain HTTP to another host) each tab edits. */
export class Tabs {
  constructor() {
    /** Ends the lock, by the key of an image that this tab edits. @type {Map<string, () => void>} */
    this._held = new Map();
    /** Cancels the wait for a lock, by key. @type {Map<string, AbortController>} */
    this._waiting = new Map();
    this._channel = new BroadcastChannel(NAME);
    /** Called with messages of other tabs. */
    this.onMessage = (/** @type {Message} */ _message) => {};
    /** Called when this tab may edit an image that another tab edited before. */
    this.onTurn = (/** @type {string} */ _key) => {};
    this._channel.onmessage = ({ data }) => this.onMessage(data);
  }

  /** @param {string} key @returns {boolean} whether this tab edits the image */
  edits(key) {
    return this._held.has(key);
  }

  /** @param {Message} message */
  post(message) {
    this._channel.postMessage(message);
  }

  /**
   * Try to become the tab that edits an image; otherwise wait for it.
   *
   * @param {string} key
   * @returns {Promise<boolean>} whether this tab edits it now
   */
  async claim(key) {
    if (this.edits(key)) return true;
    if (!navigator.locks) {
      this._held.set(key, () => {});
      return true;
    }
    if (await this._request(key, { ifAvailable: true })) return true;
    this._wait(key);
    return false;
  }

  /** Let other tabs edit an image, and wait for it no longer. @param {string} key */
  release(key) {
    this._waiting.get(key)?.abort();
    this._waiting.delete(key);
    this._held.get(key)?.();
    this._held.delete(key);
  }

  /** Let another tab edit the image that this one edits, and wait for the next turn. @param {string} key */
  handOver(key) {
    this.release(key);
    this._wait(key);
  }

  /** @returns {Promise<Set<string>>} keys of the images that some tab edits */
  async open() {
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const prefix = lockOf('');
    const names = held.map(({ name = '' }) => name).filter((name) => name.startsWith(prefix));
    return new Set([...names.map((name) => name.slice(prefix.length)), ...this._held.keys()]);
  }

  /** @param {string} key */
  _wait(key) {
    if (this._waiting.has(key)) return;
    const waiting = new AbortController();
    this._waiting.set(key, waiting);
    this._request(key, { signal: waiting.signal }).then(
      () => {
        this._waiting.delete(key);
        this.onTurn(key);
      },
      () => {}, // it was released meanwhile
    );
  }

  /**
   * @param {string} key
   * @param {LockOptions} options
   * @returns {Promise<boolean>} whether this tab got the lock, which it keeps until `release`
   */
  _request(key, options) {
    return new Promise((resolve, reject) => {
      navigator.locks
        .request(lockOf(key), options, (lock) => {
          if (!lock) {
            resolve(false);
            return undefined;
          }
          return new Promise((/** @type {(value?: undefined) => void} */ end) => {
            this._held.set(key, end);
            resolve(true);
          });
        })
        .catch(reject);
    });
  }
}
