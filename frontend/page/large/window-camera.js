import { Camera as WholeCamera } from '../camera.js';

/** @typedef {import('../place.js').Place} Place */

/** The camera in pixels of the window whose superpixels are loaded, for tools and layers. The view itself is the image's. */
export class WindowCamera extends WholeCamera {
  /** @param {import('./camera.js').Camera} view */
  constructor(view) {
    super();
    this._view = view;
    /** @type {Place} */
    this.place = { x: 0, y: 0, width: view.width, height: view.height, scale: 1 };
    this.follow();
  }

  /** The view has moved, or another window has come. */
  follow() {
    const { left, top, zoom, viewWidth, viewHeight } = this._view;
    const { x, y, width, height, scale } = this.place;
    this.x = left / scale - x;
    this.y = top / scale - y;
    this.scale = zoom * scale;
    this.width = viewWidth;
    this.height = viewHeight;
    this.image = { width, height };
  }

  /** @param {number} dx on the screen @param {number} dy */
  pan(dx, dy) {
    const { x, y, scale } = this.place;
    this._view.left = (this.x + x) * scale; // `Navigation` sets x and y before it pans
    this._view.top = (this.y + y) * scale;
    this._view.pan(dx, dy);
    this.follow();
  }

  /** @type {WholeCamera['zoomTo']} */
  zoomTo(scale, atX = this.width / 2, atY = this.height / 2) {
    this._view.zoomAt(scale / this.scale, atX, atY);
    this.follow();
  }
}
