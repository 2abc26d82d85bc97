// What a rectangle or a lasso will choose, shown while it is drawn.

import { polygon } from '../src/shapes.js';
import { sample } from '../src/view.js';

/** @typedef {import('../src/map.js').Level} Level */
/** @typedef {import('../src/shapes.js').Point} Point */

/** Pixels of the image that are looked at per frame; of larger shapes, a part of the rows and columns. */
const MOST_PIXELS = 400_000;

/** Pixels of the picture that are drawn per frame; larger pictures are drawn in larger pixels. */
const MOST_DRAWN = 500_000;

/**
 * The regions that lie inside a polygon by at least half, as `Selection.lasso` chooses them: of large polygons about so.
 *
 * @param {Level} level
 * @param {readonly Point[]} points
 * @returns {Uint8Array} level.count: 1 if inside
 */
function regionsInside(level, points) {
  const { lut, map, areas } = level;
  const { labels, width, height } = map;
  const runs = polygon(points, width, height);
  let area = 0;
  for (let i = 1; i < runs.length; i += 2) area += runs[i];
  const stride = Math.max(1, Math.ceil(Math.sqrt(area / MOST_PIXELS)));
  const counts = new Uint32Array(level.count);
  for (let i = 0; i < runs.length; i += 2) {
    if (Math.floor(runs[i] / width) % stride) continue;
    const from = Math.ceil(runs[i] / stride) * stride;
    for (let at = from, end = runs[i] + runs[i + 1]; at < end; at += stride) counts[lut[labels[at]]]++;
  }
  const inside = new Uint8Array(level.count);
  const weight = 2 * stride * stride;
  for (let region = 0; region < inside.length; region++) {
    if (counts[region] && weight * counts[region] >= areas[region]) inside[region] = 1;
  }
  return inside;
}

/**
 * The regions that lie in a rectangle by at least half, as `Selection.rectangle` chooses them. Pixels are counted only of regions at its edge.
 *
 * @param {import('../src/map.js').Level} level
 * @param {import('../src/runs.js').Runs} runs pixels of the rectangle: a run for each row
 * @returns {number[]}
 */
export function regionsInBox(level, runs) {
  /** @type {number[]} */
  const found = [];
  if (!runs.length) return found;
  const { lut, map, boxes, areas } = level;
  const { labels, width } = map;
  const [left, top] = [runs[0] % width, Math.floor(runs[0] / width)];
  const [right, bottom] = [left + runs[1], top + runs.length / 2];
  for (let region = 0; region < level.count; region++) {
    const [x0, y0, x1, y1] = boxes.subarray(4 * region, 4 * region + 4);
    const [fromX, fromY] = [Math.max(left, x0), Math.max(top, y0)];
    const [toX, toY] = [Math.min(right, x1), Math.min(bottom, y1)];
    if (fromX >= toX || fromY >= toY) continue;
    let inside = fromX === x0 && fromY === y0 && toX === x1 && toY === y1 ? areas[region] : 0;
    for (let y = fromY; y < toY && inside < areas[region]; y++) {
      for (let at = y * width + fromX, end = y * width + toX; at < end; at++) {
        if (lut[labels[at]] === region) inside++;
      }
    }
    if (inside && 2 * inside >= areas[region]) found.push(region);
  }
  return found;
}

/** @typedef {import('./gesture.js').Gesture} Gesture */

/** The picture of the regions that a path chooses. It is made once per frame, and only if the path has changed. */
export class Preview {
  constructor() {
    this._canvas = new OffscreenCanvas(1, 1);
    this._key = '';
    /** @type {{ left: number, top: number, step: number } | null} */
    this._place = null;
  }

  /**
   * @param {import('./layers.js').Layers} layers
   * @param {Gesture} gesture
   * @param {readonly Point[]} path closed
   */
  draw(layers, gesture, path) {
    const { camera, topContext } = layers;
    const { level, value } = gesture;
    const last = path[path.length - 1];
    const { x, y, scale, width, height } = camera;
    const key = [
      level.count,
      level.map.fingerprint,
      path.length,
      path[0],
      last,
      x,
      y,
      scale,
      width,
      height,
    ].join();
    if (key !== this._key) {
      this._key = key;
      this._place = this._make(layers, level, path, gesture.color, value);
    }
    if (!this._place) return;
    const { left, top, step } = this._place;
    const { width: wide, height: high } = this._canvas;
    topContext.imageSmoothingEnabled = false;
    topContext.drawImage(this._canvas, left * step, top * step, wide * step, high * step);
  }

  /**
   * @param {import('./layers.js').Layers} layers
   * @param {Level} level
   * @param {readonly Point[]} path
   * @param {number[]} color R, G, B
   * @param {number} value
   */
  _make({ camera }, level, path, [r, g, b], value) {
    const inside = regionsInside(level, path);
    const box = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
    const { boxes, lut } = level;
    for (let region = 0; region < inside.length; region++) {
      if (!inside[region]) continue;
      box.x0 = Math.min(box.x0, boxes[4 * region]);
      box.y0 = Math.min(box.y0, boxes[4 * region + 1]);
      box.x1 = Math.max(box.x1, boxes[4 * region + 2]);
      box.y1 = Math.max(box.y1, boxes[4 * region + 3]);
    }
    if (box.x0 === Infinity) return null;
    const step = Math.max(1, Math.ceil(Math.sqrt((camera.width * camera.height) / MOST_DRAWN)));
    const seen = camera.seen(box, step);
    if (!seen) return null;
    const { labels, width, height } = level.map;
    const { view, left, top } = seen;
    this._canvas.width = view.width;
    this._canvas.height = view.height;
    const picture = new ImageData(view.width, view.height);
    const out = new Uint32Array(picture.data.buffer);
    const packed = ((value ? 150 : 120) << 24) | (b << 16) | (g << 8) | r;
    const columns = sample(view.x, view.scale, view.width, width);
    sample(view.y, view.scale, view.height, height).forEach((row, j) => {
      if (row < 0) return;
      for (let i = 0; i < view.width; i++) {
        if (columns[i] < 0) continue;
        if (inside[lut[labels[row * width + columns[i]]]]) out[j * view.width + i] = packed;
      }
    });
    this._canvas.getContext('2d')?.putImageData(picture, 0, 0);
    return { left, top, step };
  }
}
