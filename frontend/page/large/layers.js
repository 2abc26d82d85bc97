import { byId } from '../dom.js';
import { enclosing, TopLayer } from '../top.js';
import { Overlay } from './overlay.js';

/** @typedef {import('../../src/boxes.js').Box} Box */

/** What is on the screen: the image with its superpixels, the pointer's marks, and the overview. */
export class LargeLayers extends TopLayer {
  /**
   * @param {import('./window-camera.js').WindowCamera} camera
   * @param {import('./camera.js').Camera} view
   * @param {import('./tiles.js').Tiles} tiles
   * @param {import('./api.js').Facts} facts
   * @param {import('./overview.js').Overview} overview
   */
  constructor(camera, view, tiles, facts, overview) {
    super(camera);
    this._view = view;
    this._tiles = tiles;
    this._scales = facts.scales;
    this._overview = overview;
    this._canvas = byId('view', HTMLCanvasElement);
    /** @type {Overlay | null} */
    this._overlay = null;
    /** What is drawn over the image. */
    this.shown = { fill: true, lines: true };
    this._stale = { overlay: false, view: false };
    /** @type {Box | null} */
    this._fill = null;
    this._frame = 0;
  }

  /** @param {import('./work.js').WindowWork} work */
  setWork(work) {
    this.work = /** @type {any} */ (work); // tools use what both kinds of work have
    this.top.region = null;
    this._overlay = new Overlay(work);
    this.redrawAll();
  }

  resize() {
    const { viewWidth, viewHeight } = this._view;
    for (const canvas of [this._canvas, this.topContext.canvas]) {
      canvas.width = viewWidth;
      canvas.height = viewHeight;
    }
    this.redrawView();
  }

  /** Classes, objects or colours have changed, or the window. */
  redrawAll() {
    this._stale.overlay = true;
    this.redrawView();
  }

  /** @param {Box | null} box of the window, in which the selection has changed */
  redrawFill(box) {
    if (!box) return;
    this._fill = enclosing(this._fill, box);
    this.redrawView();
  }

  /** The view has moved, or a part of the image has come. */
  redrawView() {
    this._stale.view = true;
    this.redrawTop();
  }

  redrawTop() {
    this._frame ||= requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._frame = 0;
    const { overlay, view } = this._stale;
    const fill = this._fill;
    this._stale = { overlay: false, view: false };
    this._fill = null;
    if (overlay) this._overlay?.draw(this.shown);
    else if (fill) this._overlay?.draw(this.shown, fill);
    if (view) {
      this._drawView();
      this._overview.draw();
    }
    this.drawTop();
  }

  _drawView() {
    const context = this._canvas.getContext('2d');
    if (!context) return;
    const { _view: view } = this;
    context.clearRect(0, 0, view.viewWidth, view.viewHeight);
    const scale = view.scale(this._scales);
    context.imageSmoothingEnabled = view.zoom * scale < 2;
    this._tiles.draw(context, view, scale);
    if (!this._overlay) return;
    const { width, height } = this._overlay.canvas;
    const [left, top] = this.camera.toScreen(0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this._overlay.canvas, left, top, width * this.camera.scale, height * this.camera.scale);
  }
}
