import { rgba } from './colors.js';
import { casing, contours } from './marks.js';
import { SmoothLines } from './smooth.js';
import { context, enclosing, TopLayer } from './top.js';

/** @typedef {import('../src/selection.js').Box} Box */

/** Milliseconds without a movement after which everything is drawn again. */
const SETTLE_WAIT = 90;

/** Milliseconds after that until outlines of other levels are prepared. */
const IDLE_WAIT = 150;

/** Width of the edges of classes if the fill is hidden, CSS pixels. */
const CONTOUR = 2;

/** @param {Box} box @param {number} margin @returns {Box} */
const around = ({ x0, y0, x1, y1 }, margin) => ({
  x0: x0 - margin,
  y0: y0 - margin,
  x1: x1 + margin,
  y1: y1 + margin,
});

/** The canvases: image, fill (the selected pixels), outlines, cursor. Each is drawn again only if it has changed. */
export class Layers extends TopLayer {
  /** @param {import('./camera.js').Camera} camera */
  constructor(camera) {
    super(camera);
    /** Whether the fill shows the edges of the classes alone. */
    this.contours = false;
    this.lineColor = '#ffffff';
    this.imageContext = context('image');
    this.fillContext = context('fill');
    this.linesContext = context('lines');
    this.smooth = new SmoothLines(this);
    this._stale = { all: true, moved: false, lines: false, top: false };
    /** Where the camera was when fill and outlines were last drawn completely. */
    this._drawn = { x: 0, y: 0, scale: 1 };
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._settled = undefined;
    /** @type {Box | null} */
    this._fill = null;
    this._frame = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._idle = undefined;
    /** @type {ImageData | null} */
    this._lines = null;
  }

  redrawAll() {
    this._stale.all = true;
    this._request();
  }

  /** The image is being moved or zoomed. Until that ends, the browser moves fill and outlines as they are: drawing is slow. */
  move() {
    this._stale.moved = true;
    clearTimeout(this._settled);
    clearTimeout(this._idle);
    this._settled = setTimeout(() => this.redrawAll(), SETTLE_WAIT);
    this._request();
  }

  redrawLines() {
    this._stale.lines = true;
    this._request();
  }

  redrawTop() {
    this._stale.top = true;
    this._request();
  }

  /** @param {Box | null} box of the image in which the selection has changed */
  redrawFill(box) {
    if (!box) return;
    this.smooth.classesChanged();
    this._fill = enclosing(this._fill, box);
    this._request();
  }

  _request() {
    this._frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Draw now what is stale. */
  draw() {
    cancelAnimationFrame(this._frame);
    this._frame = 0;
    const { moved, lines, top } = this._stale;
    const fill = this._fill;
    const { x, y, scale } = this.camera;
    const away = x !== this._drawn.x || y !== this._drawn.y || scale !== this._drawn.scale;
    const all = this._stale.all || (away && (lines || fill !== null));
    this._stale = { all: false, moved: false, lines: false, top: false };
    this._fill = null;
    if (all) {
      this._drawn = { x, y, scale };
      this._size();
    }
    if (all || moved) {
      this._drawImage();
      this._place();
    }
    if (all) this._drawFill(null);
    else if (fill) this._drawFill(fill);
    if (all || lines) this._drawLines();
    if (all || moved || lines || top) this.drawTop();
    if (!all) return;
    // If the view stays, prepare the outlines of all its levels, so that the size slider responds at once.
    clearTimeout(this._settled);
    clearTimeout(this._idle);
    this._idle = setTimeout(() => this._drawLines(), IDLE_WAIT);
  }

  /** Move fill and outlines to where they belong, without drawing them again. */
  _place() {
    const { camera, _drawn: drawn } = this;
    const { x, y, scale, ratio } = camera;
    const [left, top] = [((drawn.x - x) * scale) / ratio, ((drawn.y - y) * scale) / ratio];
    const inPlace = left === 0 && top === 0 && scale === drawn.scale;
    const transform = inPlace ? '' : `translate(${left}px, ${top}px) scale(${scale / drawn.scale})`;
    for (const { canvas } of [this.fillContext, this.linesContext]) canvas.style.transform = transform;
  }

  /** Screen pixels per pixel of the outlines: those are one CSS pixel wide on any screen, unless they are smooth. */
  get _step() {
    return this.smooth.on ? 1 : Math.max(1, Math.floor(this.camera.ratio));
  }

  _size() {
    const { width, height, ratio } = this.camera;
    for (const context of [this.imageContext, this.fillContext, this.topContext, this.linesContext]) {
      const step = context === this.linesContext ? this._step : 1;
      const [wide, high] = [Math.ceil(width / step), Math.ceil(height / step)];
      const { canvas } = context;
      if (canvas.width !== wide || canvas.height !== high) {
        canvas.width = wide;
        canvas.height = high;
      }
      canvas.style.width = `${(wide * step) / ratio}px`;
      canvas.style.height = `${(high * step) / ratio}px`;
    }
  }

  _drawImage() {
    const { camera, imageContext: context, work } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, camera.width, camera.height);
    if (!work) return;
    const { x, y, scale } = camera;
    // Large pixels keep sharp edges.
    context.imageSmoothingEnabled = scale < 3 * camera.ratio;
    context.imageSmoothingQuality = 'high';
    context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
    context.fillStyle = '#fff'; // transparent pixels are white on the server, too
    context.fillRect(0, 0, work.map.width, work.map.height);
    // The smallest picture that is sharp at this scale: a large one takes long to reduce.
    const fitting = work.reduced.filter(({ width }) => width / work.map.width >= scale);
    context.drawImage(fitting.at(-1) ?? work.bitmap, 0, 0, work.map.width, work.map.height);
  }

  /** @param {Box | null} box null: everything */
  _drawFill(box) {
    const { camera, fillContext: context, work } = this;
    if (!box) context.clearRect(0, 0, camera.width, camera.height);
    const thick = this.contours ? Math.ceil(CONTOUR * camera.ratio) : 0;
    const margin = Math.ceil((2 * thick) / camera.scale);
    const seen = work && camera.seen(box ? around(box, margin) : undefined);
    if (!work || !seen) return;
    const { left, top, view } = seen;
    const picture = new ImageData(view.width, view.height);
    work.selection.paint(
      picture.data,
      view,
      work.selection.classes.map(({ color }) => rgba(color)),
      { shades: true },
    );
    if (thick && this.smooth.shows) picture.data.fill(0);
    else if (thick) contours(picture, thick);
    // Edges of classes at the edge of the picture are not known: what was drawn there stays.
    const inset = box ? thick : 0;
    context.putImageData(picture, left, top, inset, inset, view.width - 2 * inset, view.height - 2 * inset);
  }

  _drawLines() {
    if (this.smooth.draw()) return;
    const { camera, linesContext: context, work } = this;
    const seen = work && camera.seen(undefined, this._step);
    const { canvas } = context;
    if (!seen || seen.view.width < canvas.width || seen.view.height < canvas.height) {
      context.clearRect(0, 0, canvas.width, canvas.height);
    }
    if (!work || !seen) return;
    const { left, top, view } = seen;
    if (this._lines?.width !== view.width || this._lines.height !== view.height) {
      this._lines = new ImageData(view.width, view.height);
    } else {
      new Uint32Array(this._lines.data.buffer).fill(0);
    }
    const color = rgba(this.lineColor);
    work.level.boundaries().paint(this._lines.data, view, color);
    casing(this._lines, color);
    context.putImageData(this._lines, left, top);
  }
}
