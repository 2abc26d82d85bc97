import { Selection } from '../src/index.js';
import { whiteCanvas } from './canvas.js';
import { nearestStop, stopsOf } from './stops.js';

/** @typedef {import('../src/index.js').LabelMap} LabelMap */

/**
 * The source of a label map.
 *
 * @typedef {object} Source
 * @property {ArrayBuffer} spx
 *
 * @typedef {Source & import('./api.js').Making} Origin
 */

/** An open image and the work on it. */
export class Work {
  /**
   * @param {object} image
   * @param {string} image.key the same for the same bytes
   * @param {string} image.name of the file
   * @param {Blob} image.blob
   * @param {ImageBitmap} image.bitmap
   * @param {ImageBitmap[]} [image.reduced] at half its size, a quarter, ...: they are drawn faster
   * @param {Selection} selection
   * @param {Origin} origin of the selection's map
   * @param {number} [count] superpixels of the level to start with
   */
  constructor({ key, name, blob, bitmap, reduced = [] }, selection, origin, count) {
    this.key = key;
    this.name = name;
    this.blob = blob;
    this.bitmap = bitmap;
    this.reduced = reduced;
    /** Milliseconds since 1970. */
    this.opened = Date.now();
    /** Made when the image was opened. @type {Blob | undefined} */
    this.thumbnail = undefined;
    /** Whether the user marked the image as done; undefined: as it was. @type {boolean | undefined} */
    this.done = undefined;
    this.selection = selection;
    /** Where a window of a large image is; null: this is a whole image. @type {import('./place.js').Place | null} */
    this.place = null;
    /** Of a window with pixels outside, the finest region that stands for them. @type {number | undefined} */
    this.outsideRegion = undefined;
    /** Origins of this map and of the maps that undo can return to. @type {WeakMap<LabelMap, Origin>} */
    this._origins = new WeakMap([[selection.map, origin]]);
    /** Counts of the size slider, ascending. */
    this.stops = stopsOf(selection.map.count);
    this.stop = nearestStop(this.stops, count);
    this.level = selection.map.cut(this.stops[this.stop]);
  }

  get map() {
    return this.selection.map;
  }

  /** @returns {Origin} */
  get origin() {
    const found = this._origins.get(this.map);
    if (!found) throw new Error('a map without an origin');
    return found;
  }

  /** Free the memory of the pictures. */
  close() {
    for (const bitmap of [this.bitmap, ...this.reduced]) bitmap.close();
  }

  /** The step that undo takes back, to compare it with that of another time. @returns {object | undefined} */
  get lastStep() {
    return this.selection._history.done.at(-1);
  }

  /** The file's name without its extension. */
  get stem() {
    return this.name.replace(/\.[^.]*$/, '') || 'image';
  }

  /** @param {number} stop */
  setStop(stop) {
    this.stop = Math.min(Math.max(stop, 0), this.stops.length - 1);
    this.level = this.map.cut(this.stops[this.stop]);
  }

  /**
   * Continue with a map of another compactness or guidance. Selected pixels stay selected.
   *
   * @param {LabelMap} map
   * @param {Origin} origin
   * @param {import('../src/selection.js').Moved} [ready] see `Selection.moveTo`
   */
  moveTo(map, origin, ready) {
    this._origins.set(map, origin);
    const box = this.selection.moveTo(map, ready);
    this.mapChanged();
    return box;
  }

  /**
   * Take over the work of another tab on the same image.
   *
   * @param {Selection} selection
   * @param {Origin} origin of its map
   */
  replace(selection, origin) {
    this.selection = selection;
    this._origins.set(selection.map, origin);
    this.mapChanged();
  }

  /** Adapt to the selection's map, which has changed. */
  mapChanged() {
    const { count } = this.level;
    this.stops = stopsOf(this.map.count);
    this.setStop(nearestStop(this.stops, count));
  }

  /** Measure the colours of the regions, on first use, unless they were measured when the map was read. */
  measureColors() {
    if (this.map._colorSums) return;
    const { width, height } = this.map;
    const context = whiteCanvas(width, height, { willReadFrequently: true });
    context.drawImage(this.bitmap, 0, 0);
    this.map.measureColors(context.getImageData(0, 0, width, height).data);
  }
}
