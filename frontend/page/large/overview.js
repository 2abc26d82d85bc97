import { byId } from '../dom.js';
import { loadImage } from './api.js';

/** The whole image in a corner, with a frame around what is on the screen. A click goes there. */
export class Overview {
  /**
   * @param {import('./camera.js').Camera} view
   * @param {import('./api.js').Facts} facts
   * @param {() => void} onMove
   */
  constructor(view, { width, height, scales }, onMove) {
    this._view = view;
    this._canvas = byId('overview', HTMLCanvasElement);
    this._shrink = Math.min(this._canvas.width / width, this._canvas.height / height);
    this._canvas.width = Math.max(1, Math.round(width * this._shrink));
    this._canvas.height = Math.max(1, Math.round(height * this._shrink));
    const scale = /** @type {number} */ (scales.at(-1));
    this._place = { x: 0, y: 0, width: Math.ceil(width / scale), height: Math.ceil(height / scale), scale };
    /** @type {ImageBitmap | null} */
    this._picture = null;
    this._canvas.addEventListener('pointerdown', (event) => {
      view.centre(event.offsetX / this._shrink, event.offsetY / this._shrink);
      onMove();
    });
  }

  async load() {
    this._picture = await loadImage(this._place);
    this.draw();
  }

  draw() {
    const { _view: view, _shrink: shrink } = this;
    const { width, height } = this._canvas;
    const context = this._canvas.getContext('2d');
    if (!context) return;
    context.clearRect(0, 0, width, height);
    if (this._picture) context.drawImage(this._picture, 0, 0, width, height);
    context.strokeStyle = '#ffdc00';
    context.lineWidth = 2;
    const [wide, high] = [view.viewWidth / view.zoom, view.viewHeight / view.zoom];
    context.strokeRect(view.left * shrink, view.top * shrink, wide * shrink, high * shrink);
  }
}
