// Superpixels as a picture: fills of classes, and lines between regions.

import { rgba } from '../colors.js';

const NO_REGION = 0xffffffff;
const LINE = 0x90ffffff;
const PARTLY = 0x60ffffff;

/** The superpixels on the screen. */
export class Overlay {
  /**
   * @param {import('./api.js').Superpixels} superpixels
   * @param {{ color: string }[]} classes
   */
  constructor(superpixels, classes) {
    this.superpixels = superpixels;
    this._fills = new Uint32Array(256);
    for (const [index, { color }] of classes.entries()) {
      const [r, g, b] = rgba(color);
      this._fills[index + 1] = (0x80 << 24) | (b << 16) | (g << 8) | r;
    }
    this._fills[255] = PARTLY;
    const { width, height } = superpixels.place;
    this.canvas = new OffscreenCanvas(width, height);
    this.draw();
  }

  draw() {
    const { place, labels, values } = this.superpixels;
    const { width, height } = place;
    const picture = new ImageData(width, height);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const label = labels[at];
        const border =
          (x + 1 < width && labels[at + 1] !== label) || (y + 1 < height && labels[at + width] !== label);
        pixels[at] = border ? LINE : this._fills[values[label]];
      }
    }
    /** @type {OffscreenCanvasRenderingContext2D} */ (this.canvas.getContext('2d')).putImageData(
      picture,
      0,
      0,
    );
  }

  /**
   * Give the superpixels under a disc a value; `draw` shows it.
   *
   * @param {number} x centre, in pixels of the image
   * @param {number} y
   * @param {number} radius in pixels of the image
   * @param {number} value
   * @param {Set<number>} ids gets their global ids
   */
  brush(x, y, radius, value, ids) {
    const { place, labels, values, ids: global } = this.superpixels;
    const cx = x / place.scale - place.x;
    const cy = y / place.scale - place.y;
    const r = Math.max(0.5, radius / place.scale);
    for (let row = Math.max(0, Math.ceil(cy - r - 0.5)); row < Math.min(place.height, cy + r); row++) {
      for (
        let column = Math.max(0, Math.ceil(cx - r - 0.5));
        column < Math.min(place.width, cx + r);
        column++
      ) {
        if (
          (column + 0.5 - cx) ** 2 + (row + 0.5 - cy) ** 2 > r * r &&
          !(Math.floor(cx) === column && Math.floor(cy) === row)
        )
          continue;
        const label = labels[row * place.width + column];
        if (global[label] === NO_REGION) continue;
        ids.add(global[label]);
        values[label] = value;
      }
    }
  }
}
