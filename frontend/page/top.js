import { sample } from '../src/view.js';
import { byId } from './dom.js';
import { glow } from './marks.js';

/** @typedef {import('../src/boxes.js').Box} Box */

/**
 * The pointer's marks.
 *
 * @typedef {object} Top
 * @property {{ level: import('../src/map.js').Level, region: number } | null} region lights up
 * @property {{ x: number, y: number, radius: number, cross: boolean } | null} cursor
 * @property {number[] | null} frame x0, y0, x1, y1 of a box that is pointed out
 */

/** @param {string} name of the canvas `layer-NAME` */
export function context(name) {
  const found = byId(`layer-${name}`, HTMLCanvasElement).getContext('2d');
  if (!found) throw new Error('this browser has no canvas');
  return found;
}

/** @param {Box | null} a @param {Box} b @returns {Box} the smallest box that contains both */
export const enclosing = (a, b) =>
  a
    ? {
        x0: Math.min(a.x0, b.x0),
        y0: Math.min(a.y0, b.y0),
        x1: Math.max(a.x1, b.x1),
        y1: Math.max(a.y1, b.y1),
      }
    : b;

/** The topmost canvas: what lies under the pointer, the cursor, and what the active tool shows. */
export class TopLayer {
  /** @param {import('./camera.js').Camera} camera */
  constructor(camera) {
    this.camera = camera;
    /** @type {import('./work.js').Work | null} */
    this.work = null;
    /** @type {Top} */
    this.top = { region: null, cursor: null, frame: null };
    /** Draws what the active tool shows over the image. @type {((layers: any) => void) | null} */
    this.drawOverlay = null;
    this.topContext = context('top');
    /** @type {{ key: string, left: number, top: number, picture: ImageData } | null} */
    this._glow = null;
  }

  drawTop() {
    const { camera, topContext: context, work } = this;
    const { region, cursor, frame } = this.top;
    context.clearRect(0, 0, camera.width, camera.height);
    if (!work) return;
    if (region && region.level === work.level) {
      const glow = this._glowOf(region.level, region.region);
      if (glow) context.putImageData(glow.picture, glow.left, glow.top);
    }
    this.drawOverlay?.(this);
    if (frame) {
      const [x0, y0] = camera.toScreen(frame[0], frame[1]);
      const [x1, y1] = camera.toScreen(frame[2], frame[3]);
      context.beginPath();
      context.rect(x0, y0, x1 - x0, y1 - y0);
      this._twoTone();
    }
    if (cursor) {
      const [x, y] = camera.toScreen(cursor.x, cursor.y);
      context.beginPath();
      if (cursor.radius * camera.scale > 2 * camera.ratio) {
        context.arc(x, y, cursor.radius * camera.scale, 0, 2 * Math.PI);
      }
      if (cursor.cross) {
        const arm = 9 * camera.ratio;
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
      }
      this._twoTone();
    }
  }

  /**
   * Draw a closed outline on the topmost canvas: for `draw` of a tool.
   *
   * @param {readonly import('../src/shapes.js').Point[]} path in pixels of the image
   * @param {number[]} [color] R, G, B that fills it; default: a shade
   */
  drawOutline(path, color) {
    const { camera, topContext: context } = this;
    context.beginPath();
    for (const [x, y] of path) context.lineTo(...camera.toScreen(x, y));
    context.closePath();
    context.fillStyle = color ? `rgb(${color.join(' ')} / 55%)` : 'rgb(255 255 255 / 12%)';
    context.fill('evenodd');
    this._twoTone();
  }

  /** @param {readonly import('../src/shapes.js').Point[]} path whose corners are marked */
  drawCorners(path) {
    const { camera, topContext: context } = this;
    const half = 2.5 * camera.ratio;
    context.beginPath();
    for (const point of path) {
      const [x, y] = camera.toScreen(...point);
      context.rect(x - half, y - half, 2 * half, 2 * half);
    }
    this._twoTone();
  }

  /** Stroke the current path in two colours, so that it is visible on any image. */
  _twoTone() {
    const context = this.topContext;
    context.lineWidth = 3 * this.camera.ratio;
    context.strokeStyle = 'rgb(0 0 0 / 55%)';
    context.stroke();
    context.lineWidth = 1.25 * this.camera.ratio;
    context.strokeStyle = '#fff';
    context.stroke();
  }

  /**
   * The picture that makes a region brighter.
   *
   * @param {import('../src/map.js').Level} level
   * @param {number} region
   */
  _glowOf(level, region) {
    const { camera } = this;
    const { x, y, scale, width, height } = camera;
    const key = [level.count, level.map.fingerprint, region, x, y, scale, width, height].join();
    if (this._glow?.key === key) return this._glow;
    const [x0, y0, x1, y1] = level.boxes.subarray(4 * region, 4 * region + 4);
    const seen = camera.seen({ x0, y0, x1, y1 });
    if (!seen) return null;
    const { view } = seen;
    const inside = new Uint8Array(view.width * view.height);
    const { labels, width: wide, height: high } = level.map;
    const columns = sample(view.x, view.scale, view.width, wide);
    sample(view.y, view.scale, view.height, high).forEach((row, j) => {
      if (row < 0) return;
      for (let i = 0; i < view.width; i++) {
        if (columns[i] < 0) continue;
        if (level.lut[labels[row * wide + columns[i]]] === region) inside[j * view.width + i] = 1;
      }
    });
    const picture = glow(inside, view.width, view.height, Math.max(1, Math.round(camera.ratio)));
    this._glow = { key, left: seen.left, top: seen.top, picture };
    return this._glow;
  }
}
