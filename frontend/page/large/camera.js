/** Where the view is on the whole image: a pixel (x, y) of the image is at ((x - left) * zoom, (y - top) * zoom). */
export class Camera {
  /**
   * @param {number} width of the image
   * @param {number} height
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.left = 0;
    this.top = 0;
    this.zoom = 1;
    this.viewWidth = 1;
    this.viewHeight = 1;
  }

  /** Show the whole image. */
  fit() {
    this.zoom = Math.min(this.viewWidth / this.width, this.viewHeight / this.height);
    this._clamp();
  }

  /**
   * @param {number} dx screen pixels
   * @param {number} dy
   */
  pan(dx, dy) {
    this.left -= dx / this.zoom;
    this.top -= dy / this.zoom;
    this._clamp();
  }

  /**
   * Zoom about a point of the screen.
   *
   * @param {number} factor
   * @param {number} x screen pixels
   * @param {number} y
   */
  zoomAt(factor, x, y) {
    const least = Math.min(1, this.viewWidth / this.width, this.viewHeight / this.height);
    const zoom = Math.min(32, Math.max(least, this.zoom * factor));
    this.left += x / this.zoom - x / zoom;
    this.top += y / this.zoom - y / zoom;
    this.zoom = zoom;
    this._clamp();
  }

  /**
   * Move a point of the image to the middle of the screen.
   *
   * @param {number} x pixels of the image
   * @param {number} y
   */
  centre(x, y) {
    this.left = x - this.viewWidth / this.zoom / 2;
    this.top = y - this.viewHeight / this.zoom / 2;
    this._clamp();
  }

  _clamp() {
    const shown = [this.viewWidth / this.zoom, this.viewHeight / this.zoom];
    const within = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ view) =>
      view >= size ? (size - view) / 2 : Math.min(Math.max(at, 0), size - view);
    this.left = within(this.left, this.width, shown[0]);
    this.top = within(this.top, this.height, shown[1]);
  }

  /**
   * The level to draw from: the coarsest whose pixels are at most one of the screen.
   *
   * @param {number[]} scales 1, 2, 4, ...
   */
  scale(scales) {
    return scales.reduce((best, scale) => (scale * this.zoom <= 1.001 ? scale : best), scales[0]);
  }

  /**
   * The part of a level that is on the screen.
   *
   * @param {number} scale
   */
  window(scale) {
    const x = Math.max(0, Math.floor(this.left / scale));
    const y = Math.max(0, Math.floor(this.top / scale));
    const right = Math.ceil(Math.min(this.width, this.left + this.viewWidth / this.zoom) / scale);
    const bottom = Math.ceil(Math.min(this.height, this.top + this.viewHeight / this.zoom) / scale);
    return { x, y, width: right - x, height: bottom - y, scale };
  }
}
