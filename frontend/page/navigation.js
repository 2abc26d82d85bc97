/** @typedef {import('../src/shapes.js').Point} Point */

/** Screen pixels between the keyboard's cursor and the edge of the view, per CSS pixel. */
const CURSOR_MARGIN = 30;

/** Moves and zooms the image. Points are in pixels of the screen. */
export class Navigation {
  /** @param {import('./app.js').App} app */
  constructor(app) {
    this._app = app;
    /** Where the pan began. @type {{ id: number, at: Point, x: number, y: number } | null} */
    this._pan = null;
  }

  get panning() {
    return this._pan !== null;
  }

  /**
   * @param {number} id of the pointer
   * @param {Point} at
   */
  beginPan(id, at) {
    const { x, y } = this._app.camera;
    this._pan = { id, at, x, y };
  }

  /**
   * @param {number} id of the pointer that moved; others do not pan
   * @param {Point} at
   */
  movePan(id, at) {
    const pan = this._pan;
    if (pan?.id !== id) return;
    const { camera } = this._app;
    // Always from the start: the camera rounds to whole pixels, and rounding errors of single moves would add up.
    camera.x = pan.x;
    camera.y = pan.y;
    camera.pan(at[0] - pan.at[0], at[1] - pan.at[1]);
    this._app.viewChanged(true);
  }

  /**
   * The camera has other coordinates now: the pan goes on.
   *
   * @param {(x: number, y: number) => Point} to the new coordinates of a place
   */
  rebase(to) {
    if (this._pan) [this._pan.x, this._pan.y] = to(this._pan.x, this._pan.y);
  }

  /** @param {number} [id] of the pointer that was released; none: any */
  endPan(id) {
    if (id === undefined || this._pan?.id === id) this._pan = null;
  }

  /**
   * One of two fingers has moved.
   *
   * @param {Point} before
   * @param {Point} after
   * @param {Point} other where the other finger is
   */
  pinch(before, after, other) {
    const { camera } = this._app;
    const spread = (/** @type {Point} */ point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    camera.pan((after[0] - before[0]) / 2, (after[1] - before[1]) / 2);
    const middle = [(after[0] + other[0]) / 2, (after[1] + other[1]) / 2];
    camera.zoomTo((camera.scale * spread(after)) / spread(before), middle[0], middle[1]);
    this._app.viewChanged(true);
  }

  /**
   * The wheel zooms. With Alt it changes the size of superpixels; with Shift the radius of a brush, or it pans sideways.
   *
   * @param {WheelEvent} event
   * @param {Point} at
   */
  wheel(event, at) {
    const { camera, sliders } = this._app;
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const delta = (event.deltaY || event.deltaX) * lines;
    this._pan = null;
    if (event.altKey) {
      sliders.stepSize(delta < 0 ? 1 : -1);
      return;
    }
    if (event.shiftKey && this._app.tool.usesRadius) {
      sliders.stepRadius(delta < 0 ? 1 : -1);
      return;
    }
    if (event.shiftKey) {
      camera.pan(-delta * camera.ratio, 0);
    } else {
      // Browsers report a touchpad's pinch as a wheel with Ctrl and smaller numbers.
      const factor = Math.exp(-delta * (event.ctrlKey ? 0.01 : 0.0015));
      camera.zoomTo(camera.scale * factor, ...at);
    }
    this._app.viewChanged(true);
  }

  /** @param {Point} point of the image, to keep in view */
  follow([x, y]) {
    const { camera } = this._app;
    const [screenX, screenY] = camera.toScreen(x, y);
    const margin = CURSOR_MARGIN * camera.ratio;
    const off = (/** @type {number} */ value, /** @type {number} */ size) =>
      value < margin ? margin - value : value > size - margin ? size - margin - value : 0;
    const [dx, dy] = [off(screenX, camera.width), off(screenY, camera.height)];
    if (!dx && !dy) return;
    camera.pan(dx, dy);
    this._app.viewChanged(true);
  }
}
