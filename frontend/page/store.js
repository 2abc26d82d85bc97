// What survives a reload, in IndexedDB: images with their label maps, the work on them, and the settings.

const NAME = 'superpixel-app';

/** Version 2 added `cards`. */
const VERSION = 2;

/** The localStorage key for changes made just before the page closes: IndexedDB would be too slow. */
const LATE = `${NAME}/late`;

/**
 * @typedef {object} KeptImage
 * @property {string} key
 * @property {string} name
 * @property {Blob} blob
 * @property {ArrayBuffer | null} spx null: the server was not asked yet
 * @property {number} compactness
 * @property {import('./api.js').Guidance | null} [guidance] missing in images that older pages stored
 */

/**
 * @typedef {object} KeptWork
 * @property {string} key
 * @property {import('../src/selection.js').SerialisedSelection} selection
 * @property {import('../src/selection.js').History} [steps] to undo and redo
 * @property {number} count superpixels of the level in use
 * @property {number} [changed] milliseconds since 1970; missing in work that older pages stored
 */

/**
 * What lists of images show, so that they need not read the images.
 *
 * @typedef {object} Card
 * @property {string} key
 * @property {string} name
 * @property {number} opened milliseconds since 1970
 * @property {number} bytes of the image and its label map
 * @property {boolean} worked whether anything was labelled: such an image is deleted only by the user
 * @property {boolean} done whether the user marked it as done
 * @property {Blob | null} thumbnail
 */

/**
 * Everything about one image.
 *
 * @typedef {object} Entry
 * @property {KeptImage} image
 * @property {KeptWork | null} work null: it was never open
 * @property {Partial<Card>} card what changed of it
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

/** @param {KeptImage} image @returns {number} bytes of the image and its label map */
export const bytesOf = ({ blob, spx }) => blob.size + (spx?.byteLength ?? 0);

/** @param {unknown} error @returns {boolean} whether the browser's storage is full */
export const isFull = (error) => error instanceof DOMException && error.name === 'QuotaExceededError';

/**
 * @param {Pick<KeptWork, 'selection' | 'steps'> | null | undefined} work
 * @returns {boolean} whether anything was labelled, also if it was undone
 */
export function hasWork(work) {
  const { regions = [], pixels = [] } = work?.selection ?? {};
  const labelled = regions.some((value, i) => i % 2 === 0 && value > 0) || pixels.length > 0;
  return labelled || Boolean(work?.steps?.done.length || work?.steps?.undone.length);
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

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/** @param {string} key @returns {KeptWork | null} what `Store.writeAtOnce` stored last, if nothing newer is stored */
export function lateWork(key) {
  for (const place of [`${LATE}/${key}`, LATE]) {
    try {
      const late = JSON.parse(localStorage.getItem(place) ?? 'null');
      if (late?.key === key) return late;
    } catch {
      localStorage.removeItem(place); // it was cut off
    }
  }
  return null;
}

/** @param {string} key */
function removeLate(key) {
  localStorage.removeItem(`${LATE}/${key}`);
  if (lateWork(key)) localStorage.removeItem(LATE); // an older page wrote it
}

/** Version 1 had no cards. @param {IDBTransaction} transaction of the upgrade */
function makeCards(transaction) {
  const cards = transaction.objectStore('cards');
  const works = transaction.objectStore('works');
  const images = transaction.objectStore('images').openCursor();
  images.onsuccess = () => {
    const cursor = images.result;
    if (!cursor) return;
    const image = cursor.value;
    const { key, name, opened } = image;
    const work = works.get(key);
    work.onsuccess = () => {
      const worked = hasWork(work.result) || hasWork(lateWork(key));
      cards.put({ key, name, opened, bytes: bytesOf(image), worked, done: false, thumbnail: null });
    };
    cursor.continue();
  };
}

export class Store {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this._database = database;
  }

  /**
   * @param {() => void} [onWait] another tab has an older version of the page open, and keeps the database at its version
   * @param {() => void} [onOutdated] another tab has a newer version of the page: this one stores nothing any more
   * @returns {Promise<Store>}
   */
  static async open(onWait, onOutdated) {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = ({ oldVersion }) => {
      const { result: database, transaction } = request;
      if (oldVersion < 1) {
        database.createObjectStore('images', { keyPath: 'key' });
        database.createObjectStore('works', { keyPath: 'key' });
        database.createObjectStore('settings');
      }
      database.createObjectStore('cards', { keyPath: 'key' });
      if (transaction) makeCards(transaction);
    };
    request.onblocked = () => onWait?.();
    const database = await done(request);
    database.onversionchange = () => {
      database.close();
      onOutdated?.();
    };
    return new Store(database);
  }

  /**
   * @param {string} key
   * @returns {Promise<{ image: KeptImage, work: KeptWork | null } | null>}
   */
  async read(key) {
    const transaction = this._database.transaction(['images', 'works']);
    /** @type {[KeptImage | undefined, KeptWork | undefined]} */
    const [image, work] = await Promise.all([
      done(transaction.objectStore('images').get(key)),
      done(transaction.objectStore('works').get(key)),
    ]);
    const late = lateWork(key);
    const lateIsNewer = late && (late.changed ?? Infinity) >= (work?.changed ?? 0);
    return image ? { image, work: (lateIsNewer ? late : work) ?? null } : null;
  }

  /**
   * @param {Entry} entry
   * @param {boolean} [imageIsStored] then only the work is written
   */
  async write({ image, work, card }, imageIsStored = false) {
    const { key, name } = image;
    const transaction = this._database.transaction(['images', 'works', 'cards'], 'readwrite');
    const end = finished(transaction);
    end.catch(() => {}); // awaited below, unless a request fails first
    const [images, works, cards] = ['images', 'works', 'cards'].map((one) => transaction.objectStore(one));
    // Another tab may have deleted it.
    const isStored = imageIsStored && (await done(images.getKey(key))) !== undefined;
    // Without work of its own, the entry must not replace the map of work that another tab stored.
    const mayWrite = work || (await done(works.getKey(key))) === undefined;
    if (!isStored && mayWrite) images.put(image);
    if (work) works.put(work);
    /** @type {Card} */
    const first = { key, name, opened: 0, bytes: 0, worked: false, done: false, thumbnail: null };
    const before = (await done(cards.get(key))) ?? first;
    cards.put({ ...before, ...card, key, name, bytes: bytesOf(image) });
    await end;
    const late = lateWork(key);
    if (work && late && (late.changed ?? 0) <= (work.changed ?? Infinity)) removeLate(key);
  }

  /**
   * Store the work before this call returns: the page is closing.
   *
   * @param {KeptWork} work on an image that is stored already
   */
  writeAtOnce(work) {
    try {
      localStorage.setItem(`${LATE}/${work.key}`, JSON.stringify(work));
    } catch {
      // It exceeds the browser's limit for localStorage: the last stroke may be lost.
    }
  }

  // ---- lists

  /** @returns {Promise<Card[]>} of all images, the one opened last first */
  async cards() {
    /** @type {Card[]} */
    const all = await done(this._database.transaction('cards').objectStore('cards').getAll());
    return all.sort((a, b) => b.opened - a.opened);
  }

  /**
   * @param {string} key
   * @param {Partial<Card>} changes
   */
  async changeCard(key, changes) {
    const transaction = this._database.transaction('cards', 'readwrite');
    const end = finished(transaction);
    end.catch(() => {});
    const cards = transaction.objectStore('cards');
    const before = await done(cards.get(key));
    if (before) cards.put({ ...before, ...changes });
    await end;
  }

  /** @param {string} key */
  async delete(key) {
    const stores = ['images', 'works', 'cards'];
    const transaction = this._database.transaction(stores, 'readwrite');
    for (const one of stores) transaction.objectStore(one).delete(key);
    await finished(transaction);
    removeLate(key);
  }

  // ---- settings

  /**
   * @param {string} [name]
   * @returns {Promise<any>}
   */
  readSettings(name = 'page') {
    return done(this._database.transaction('settings').objectStore('settings').get(name));
  }

  /**
   * @param {object} settings
   * @param {string} [name]
   */
  async writeSettings(settings, name = 'page') {
    const transaction = this._database.transaction('settings', 'readwrite');
    transaction.objectStore('settings').put(settings, name);
    await finished(transaction);
  }
}
