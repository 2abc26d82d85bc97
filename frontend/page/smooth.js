import { FIRST_OBJECT } from '../src/annotation.js';
import { say } from './notices.js';

/** Pixels of the image by which smooth outlines and polygons may move: stairs of pixels become straight. */
export const TOLERANCE = 1;

/** Smooth outlines need superpixels of at least this average width, in CSS pixels; smaller ones show their pixels. */
const LEAST_WIDTH = 5;

/** Outlines as simplified borders, not along pixel edges. A worker makes their pictures, so that the page never waits. */
export class SmoothLines {
  /** @param {import('./layers.js').Layers} layers */
  constructor(layers) {
    this._layers = layers;
    this.on = false;
    /** @type {Worker | null} */
    this._worker = null;
    /** The map that the worker has. @type {import('../src/index.js').LabelMap | null} */
    this._map = null;
    /** Counts the changes of classes; and the count that the worker has. */
    this._changes = 1;
    this._sent = 0;
    /** What was drawn last, and the number of maps so far. @type {import('../src/index.js').Selection | null} */
    this._selection = null;
    /** @type {import('../src/index.js').LabelMap | null} */
    this._drawn = null;
    this._maps = 0;
    /** The picture that came last. @type {{ key: string, level: string, bitmap: ImageBitmap, view: { x: number, y: number, scale: number } } | null} */
    this._picture = null;
    /** The picture that the worker makes. */
    this._making = '';
  }

  /** The selection has changed. */
  classesChanged() {
    this._changes++;
    if (this.on) this._layers.redrawLines();
  }

  /**
   * Draw the outlines of the view, or what is known of them, and ask for the rest.
   *
   * @returns {boolean} false: the outlines along pixel edges must be drawn
   */
  draw() {
    const { camera, linesContext: context, work } = this._layers;
    if (!work || !this.shows) return false;
    if (this._selection !== work.selection) this._changes++;
    if (this._drawn !== work.map) this._maps++;
    this._selection = work.selection;
    this._drawn = work.map;
    const { key, level } = this._keys();
    const isReady = this._picture?.key === key;
    document.documentElement.dataset.smooth = String(isReady);
    if (!isReady) this._ask();
    const picture = this._picture;
    if (picture?.level !== level) return false;
    // The view may have moved since: the picture moves, until the next one comes.
    const { x, y, scale } = picture.view;
    const { bitmap } = picture;
    const size = camera.scale / scale;
    context.clearRect(0, 0, camera.width, camera.height);
    context.drawImage(bitmap, ...camera.toScreen(x, y), bitmap.width * size, bitmap.height * size);
    return true;
  }

  /** Whether outlines are smooth, also those of classes. */
  get shows() {
    const { camera, work } = this._layers;
    if (!this.on || !work) return false;
    const area = (work.map.width * work.map.height) / work.level.count;
    return (Math.sqrt(area) * camera.scale) / camera.ratio >= LEAST_WIDTH;
  }

  /** What a picture depends on; and the part of it that another view shares. */
  _keys() {
    const { camera, lineColor, work } = this._layers;
    const { x, y, scale, width, height, ratio } = camera;
    const level = [this._maps, work?.level.count].join();
    const colors = work?.selection.classes.map((one) => one.color);
    return {
      level,
      key: [level, lineColor, x, y, scale, width, height, ratio, this._changes, colors].join(),
    };
  }

  /** Have the worker make the picture of the current view, when it is free. */
  _ask() {
    const { camera, lineColor: color, work } = this._layers;
    const { key, level } = this._keys();
    if (this._making || !work) return; // `_done` asks again
    this._making = key;
    const { map } = work;
    const { count, lut } = work.level;
    const { x, y, scale, width, height, ratio } = camera;
    this._worker ??= new Worker(new URL('./smooth-worker.js', import.meta.url), { type: 'module' });
    this._worker.onerror = () => this._done({ error: 'its worker failed' });
    this._worker.onmessage = ({ data: { bitmap, error } }) => {
      if (bitmap) {
        this._picture?.bitmap.close();
        this._picture = { key, level, bitmap, view: { x, y, scale } };
      }
      this._done({ error });
    };
    const picture = { x, y, scale, width, height, ratio, color };
    this._worker.postMessage({
      ...{ key, count, lut, picture, colors: colorsOf(work.selection), tolerance: TOLERANCE },
      ...(this._map !== map && { map: { labels: map.labels, width: map.width, height: map.height } }),
      ...((this._sent !== this._changes || this._map !== map) && {
        regions: work.selection.regions,
        pixels: work.selection.pixels,
      }),
    });
    this._map = map;
    this._sent = this._changes;
  }

  /** @param {{ error?: string }} answer */
  _done({ error }) {
    this._making = '';
    if (error) {
      this.on = false;
      say(`Outlines cannot be smooth: ${error}`);
    }
    this._layers.redrawLines();
  }
}

/**
 * @param {import('../src/index.js').Selection} selection
 * @returns {string[]} the colour of each value: of a class, or of the class of an object
 */
function colorsOf({ classes, objects }) {
  const colors = ['', ...classes.map(({ color }) => color)];
  objects.forEach((one, i) => (colors[FIRST_OBJECT + i] = classes[one.class - 1].color));
  return colors;
}
