// Superpixels as a picture: fills of classes and objects, and lines between regions.

import { PARTLY } from '../../src/index.js';
import { drawClasses } from '../../src/overlay.js';
import { rgba } from '../colors.js';

const LINE = 0x90ffffff;
const SEVERAL = 0x60ffffff;
const FILL = 0x80;

/** Labels in a row of the picture that has a pixel for each label. */
const ROW = 256;

/** The superpixels on the screen. */
export class Overlay {
  /** @param {import('./work.js').WindowWork} work */
  constructor(work) {
    this.work = work;
    const { width, height } = work.place;
    this.canvas = new OffscreenCanvas(width, height);
    this._picture = new ImageData(width, height);
    const rows = Math.ceil(work.map.count / ROW);
    this._perLabel = {
      width: ROW,
      height: rows,
      labels: Int32Array.from({ length: ROW * rows }, (_, i) => i),
    };
  }

  /**
   * @param {{ fill: boolean, lines: boolean }} shown
   * @param {import('../../src/boxes.js').Box} [box] of the window, in which values have changed; default: all of it
   */
  draw(shown, box) {
    const { labels, width, height } = this.work.map;
    const { x0, y0, x1, y1 } = box ?? { x0: 0, y0: 0, x1: width, y1: height };
    const fills = shown.fill ? this._fills() : null;
    const line = shown.lines ? LINE : 0;
    const pixels = new Uint32Array(this._picture.data.buffer);
    for (let y = y0; y < y1; y++) {
      for (let x = x0, at = y * width + x0; x < x1; x++, at++) {
        const label = labels[at];
        const border =
          line &&
          ((x + 1 < width && labels[at + 1] !== label) || (y + 1 < height && labels[at + width] !== label));
        pixels[at] = border ? line : fills ? fills[label] : 0;
      }
    }
    this.canvas.getContext('2d')?.putImageData(this._picture, 0, 0, x0, y0, x1 - x0, y1 - y0);
  }

  /** @returns {Uint32Array} the pixel of each label */
  _fills() {
    const { map, selection } = this.work;
    const { width, height } = this._perLabel;
    const fills = new Uint32Array(width * height);
    const colors = selection.classes.map(({ color }) => [...rgba(color).slice(0, 3), FILL]);
    const perLabel = /** @type {any} */ ({
      objects: selection.objects,
      regions: selection.regions,
      pixels: null,
      map: { ...this._perLabel, count: map.count },
    });
    const view = { x: 0, y: 0, scale: 1, width, height };
    drawClasses(perLabel, new Uint8Array(fills.buffer), view, colors, true);
    selection.regions.forEach((value, label) => value === PARTLY && (fills[label] = SEVERAL));
    return fills;
  }
}
