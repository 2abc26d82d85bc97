import { sample } from '../../src/view.js';
import { whiteCanvas } from '../canvas.js';

/** @typedef {import('../app.js').App} App */
/** @typedef {import('../layers.js').Layers} Layers */
/** @typedef {import('../../src/smart/index.js').SmartSelect} SmartSelect */
/** @typedef {import('../../src/boxes.js').Box} Box */

/** Regions in view that clicks work on, and how many of its pixels one has at least if there are enough. */
const MOST_REGIONS = 3000;
const ENOUGH_REGIONS = 1000;
const REGION = 64;

/** Pixels of the picture from which colours are measured. */
const MOST_PIXELS = 1 << 18;

/** @type {typeof import('../../src/smart/index.js') | null} */
let loaded = null;

/** A smart select on the part of the image that is in view. */
export class SmartView {
  /**
   * @param {App} app
   * @param {NonNullable<App['work']>} work
   * @param {typeof import('../../src/smart/index.js')} module
   * @param {Box} box
   */
  constructor({ camera }, { map, bitmap, outsideRegion }, module, box) {
    this.map = map;
    this.box = box;
    const [wide, high] = [box.x1 - box.x0, box.y1 - box.y0];
    const area = wide * high;
    const inView = Math.min(MOST_REGIONS, Math.max(ENOUGH_REGIONS, area / REGION));
    const share = area / (map.width * map.height);
    const level = map.cut(Math.max(1, Math.min(map.count, Math.round(inView / share))));
    const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / area));
    const colors = pictureOf(bitmap, box, Math.ceil(wide * shrink), Math.ceil(high * shrink));
    this.smart = new module.SmartSelect(map, level, { colors, box, outsideRegion });
    const seen = camera.seen(box);
    this._seen = seen;
    /** The level's region of each screen pixel in the box; null: nothing was drawn yet. @type {Int32Array | null} */
    this._regions = null;
    /** The last entry is for pixels outside the map. */
    this._tints = new Uint8Array(level.count + 1);
  }

  /** Load the code and the weights. */
  static async load() {
    loaded ??= await import('../../src/smart/index.js');
    document.documentElement.dataset.smart = 'true';
  }

  /**
   * @param {App} app
   * @param {SmartView | null} before returned if it still fits
   * @returns {SmartView | null} null: the code or the image is not loaded yet, or no part of the image is in view
   */
  static of(app, before) {
    const { work, camera } = app;
    // Of a large image, the merges and the picture of a window arrive after its superpixels.
    if (!loaded || !work?.map.tree || !work.bitmap) return null;
    const { x, y, width, height, scale } = camera;
    const box = {
      x0: Math.max(0, Math.floor(x)),
      y0: Math.max(0, Math.floor(y)),
      x1: Math.min(work.map.width, Math.ceil(x + width / scale)),
      y1: Math.min(work.map.height, Math.ceil(y + height / scale)),
    };
    if (box.x0 >= box.x1 || box.y0 >= box.y1) return null;
    if (before && before.map === work.map && before._fits(camera, box)) return before;
    return new SmartView(app, work, loaded, box);
  }

  /**
   * @param {import('../camera.js').Camera} camera
   * @param {Box} box
   */
  _fits(camera, { x0, y0, x1, y1 }) {
    const { box, _seen: seen } = this;
    const same = box.x0 === x0 && box.y0 === y0 && box.x1 === x1 && box.y1 === y1;
    const now = camera.seen(box);
    return same && JSON.stringify(now) === JSON.stringify(seen);
  }

  /**
   * @param {import('../../src/map.js').Level} level
   * @param {import('../../src/view.js').View} view
   * @returns {Int32Array} the level's region of each pixel of the view; `level.count` outside the map
   */
  _look({ map, lut, count }, view) {
    const regions = new Int32Array(view.width * view.height);
    const columns = sample(view.x, view.scale, view.width, map.width);
    const rows = sample(view.y, view.scale, view.height, map.height);
    for (let j = 0, at = 0; j < view.height; j++) {
      const row = rows[j];
      for (let i = 0; i < view.width; i++, at++) {
        const column = columns[i];
        regions[at] = row < 0 || column < 0 ? count : lut[map.labels[row * map.width + column]];
      }
    }
    return regions;
  }

  /**
   * Tint regions, and outline them.
   *
   * @param {Layers} layers
   * @param {Int32Array} found
   * @param {ArrayLike<number>} color
   */
  draw({ topContext, camera }, found, color) {
    const { _seen: seen, _tints: tints } = this;
    if (!seen || JSON.stringify(camera.seen(this.box)) !== JSON.stringify(seen)) return;
    const regions = (this._regions ??= this._look(this.smart.level, seen.view));
    const { width, height } = seen.view;
    const picture = new ImageData(width, height);
    const pixels = new Uint32Array(picture.data.buffer);
    const packed = (color[2] << 16) | (color[1] << 8) | color[0];
    const tint = (packed | (0x70 << 24)) >>> 0;
    const [bright, dark] = [0xffffffff, 0xff000000];
    tints.fill(0);
    for (const region of found) tints[region] = 1;
    for (let j = 0, at = 0; j < height; j++) {
      for (let i = 0; i < width; i++, at++) {
        const inside = tints[regions[at]];
        const next = i + 1 < width ? tints[regions[at + 1]] : inside;
        const below = j + 1 < height ? tints[regions[at + width]] : inside;
        // Dashes of two colours are visible on any image.
        if (inside !== next || inside !== below) pixels[at] = ((i + j) >> 2) & 1 ? bright : dark;
        else if (inside) pixels[at] = tint;
      }
    }
    const layer = new OffscreenCanvas(width, height);
    layer.getContext('2d')?.putImageData(picture, 0, 0);
    topContext.drawImage(layer, seen.left, seen.top);
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @param {Box} box
 * @param {number} width of the picture
 * @param {number} height
 * @returns {ImageData} the image in the box
 */
function pictureOf(bitmap, { x0, y0, x1, y1 }, width, height) {
  const context = whiteCanvas(width, height, { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
