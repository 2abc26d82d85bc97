// What survives a reload, in IndexedDB: images with their label maps, the work on them, and the settings.

const NAME = 'superpixel-app';
const VERSION = 1;

/** The localStorage key for changes made just before the page closes: IndexedDB would be too slow. */
const LATE = `${NAME}/late`;

/** Number of images kept; beyond it, the ones opened longest ago are deleted. */
const KEPT = 20;

/**
 * @typedef {object} KeptImage
 * @property {string} key
 * @property {string} name
 * @property {Blob} blob
 * @property {ArrayBuffer} spx
 * @property {number} compactness
 * @property {import('./api.js').Guidance | null} [guidance] missing in images that older pages stored
 * @property {number} opened milliseconds since 1970
 */

/**
 * @typedef {object} KeptWork
 * @property {string} key
 * @property {import('../src/selection.js').SerialisedSelection} selection
 * @property {import('../src/selection.js').History} [steps] to undo and redo
 * @property {number} count superpixels of the level in use
 */

/**
 * The key of an image: the same for the same bytes. Two 32-bit hashes similar to MurmurHash; they need not resist forgery.
 *
 * @param {ArrayBuffer} buffer
 * @returns {string}
 */
export function keyOf(buffer) {
  const bytes = new Uint8Array(buffer);
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < bytes.length; i++) {
    a = Math.imul(a ^ bytes[i], 2654435761);
    b = Math.imul(b ^ bytes[i], 1597334677);
    a ^= a >>> 15;
    b ^= b >>> 13;
  }
  return [bytes.length, a >>> 0, b >>> 0].map((part) => part.toString(16)).join('-');
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {string} key
 * @returns {KeptWork | null}
 */
function lateWork(key) {
  const late = JSON.parse(localStorage.getItem(LATE) ?? 'null');
  return late?.key === key ? late : null;
}

export class Store {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this._database = database;
  }

  /** @returns {Promise<Store>} */
  static async open() {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('images', { keyPath: 'key' });
      request.result.createObjectStore('works', { keyPath: 'key' });
      request.result.createObjectStore('settings');
    };
    return new Store(await done(request));
  }

  /**
   * @param {string} key
   * @returns {Promise<{ image: KeptImage, work: KeptWork } | null>}
   */
  async read(key) {
    const transaction = this._database.transaction(['images', 'works']);
    const [image, work] = await Promise.all([
      done(transaction.objectStore('images').get(key)),
      done(transaction.objectStore('works').get(key)),
    ]);
    return image && work ? { image, work: lateWork(key) ?? work } : null;
  }

  /**
   * @param {KeptWork} work
   * @param {KeptImage | null} image null: it is stored already
   */
  async write(work, image) {
    const transaction = this._database.transaction(['images', 'works'], 'readwrite');
    const finished = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const images = transaction.objectStore('images');
    transaction.objectStore('works').put(work);
    if (image) {
      images.put(image);
      const kept = await done(images.getAllKeys());
      if (kept.length > KEPT) {
        /** @type {KeptImage[]} */
        const all = await done(images.getAll());
        all.sort((a, b) => a.opened - b.opened);
        for (const { key } of all.slice(0, all.length - KEPT)) {
          images.delete(key);
          transaction.objectStore('works').delete(key);
        }
      }
    }
    await finished;
    if (lateWork(work.key)) localStorage.removeItem(LATE);
  }

  /**
   * Store the work before this call returns: the page is closing.
   *
   * @param {KeptWork} work on an image that is stored already
   */
  writeAtOnce(work) {
    try {
      localStorage.setItem(LATE, JSON.stringify(work));
    } catch {
      // It exceeds the browser's limit for localStorage: the last stroke may be lost.
    }
  }

  /** @returns {Promise<any>} */
  readSettings() {
    return done(this._database.transaction('settings').objectStore('settings').get('page'));
  }

  /** @param {object} settings */
  async writeSettings(settings) {
    const transaction = this._database.transaction('settings', 'readwrite');
    await done(transaction.objectStore('settings').put(settings, 'page'));
  }
}
