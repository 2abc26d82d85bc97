import { fitScale } from './camera.js';
import { any, button, byId } from './dom.js';

/** Milliseconds after which the page says how far a request is. */
const PATIENCE = 300;

/** What the user sees of a request in progress: how much is sent, a button to cancel it, and the image. */
export class Sending {
  /** @param {() => void} cancel the request */
  constructor(cancel) {
    this._canvas = byId('preview', HTMLCanvasElement);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._active = false;
    button('sending-cancel').addEventListener('click', cancel);
  }

  /** Whether an image is shown that is not open yet. */
  get showsImage() {
    return !this._canvas.hidden;
  }

  /** @param {string} text what the request is for */
  begin(text) {
    this._active = true;
    this.say(text);
    clearTimeout(this._timer);
    this._timer = setTimeout(() => (any('sending').hidden = false), PATIENCE);
  }

  /** @param {string} text */
  say(text) {
    any('sending-text').textContent = text;
  }

  /**
   * @param {string} name of the file
   * @param {number} share of it that is sent or made, 0 to 1
   * @param {boolean} isMaking whether this browser makes the superpixels
   */
  progress(name, share, isMaking) {
    const percent = `${Math.floor(100 * share)} %`;
    if (isMaking) this.say(`Making superpixels of ${name}: ${percent}`);
    else this.say(share < 1 ? `Sending ${name}: ${percent}` : `Making superpixels of ${name}…`);
  }

  /** @param {ImageBitmap} bitmap to show as it will be shown when it is open */
  showImage(bitmap) {
    if (!this._active) return; // the request was quicker than the browser
    const canvas = this._canvas;
    canvas.hidden = false;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext('2d');
    if (!context) return;
    const scale = fitScale(canvas, bitmap, ratio); // as the camera's: nothing moves when the image is ready
    const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
    const [x, y] = [Math.round((canvas.width - wide) / 2), Math.round((canvas.height - high) / 2)];
    context.imageSmoothingEnabled = scale < 3 * ratio;
    context.imageSmoothingQuality = 'high';
    context.fillStyle = '#fff'; // transparent pixels are white on the server, too
    context.fillRect(x, y, wide, high);
    context.drawImage(bitmap, x, y, wide, high);
  }

  end() {
    this._active = false;
    clearTimeout(this._timer);
    any('sending').hidden = true;
    this._canvas.hidden = true;
    this._canvas.width = 0; // frees its memory
  }
}
