import { loadImage } from './api.js';

const SIDE = 512;
const KEPT = 160;

/** @type {(column: number, row: number, scale: number) => string} */
const nameOf = (column, row, scale) => `${scale}/${row}/${column}`;

/** @param {import('../place.js').Place} place @returns {[column: number, row: number][]} the tiles of its level that it touches */
function tilesUnder({ x, y, width, height }) {
  /** @type {[number, number][]} */
  const found = [];
  for (let row = Math.floor(y / SIDE); row * SIDE < y + height; row++) {
    for (let column = Math.floor(x / SIDE); column * SIDE < x + width; column++) found.push([column, row]);
  }
  return found;
}

/** The pictures of the image that are in memory, by tiles of its levels. */
export class Tiles {
  /**
   * @param {import('./api.js').Facts} facts
   * @param {() => void} onLoad
   */
  constructor(facts, onLoad) {
    this._facts = facts;
    this._onLoad = onLoad;
    /** @type {Map<string, ImageBitmap | null>} the least recently used first; null: on its way */
    this._tiles = new Map();
  }

  /**
   * Draw what is there, and ask for the rest.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {import('./camera.js').Camera} camera
   * @param {number} scale
   */
  draw(context, camera, scale) {
    const last = /** @type {number} */ (this._facts.scales.at(-1));
    if (scale !== last) this._level(context, camera, last, false);
    this._level(context, camera, scale, true);
  }

  /** @param {import('../place.js').Place} place @returns {boolean} whether the image there is loaded */
  has(place) {
    return tilesUnder(place).every(([x, y]) => this._tiles.get(nameOf(x, y, place.scale)));
  }

  /**
   * @param {import('../place.js').Place} place
   * @returns {OffscreenCanvas | null} the image there, a pixel of the level each; null: a part of it is not loaded
   */
  picture(place) {
    const found = new OffscreenCanvas(place.width, place.height);
    const context = found.getContext('2d');
    for (const [x, y] of tilesUnder(place)) {
      const tile = this._tiles.get(nameOf(x, y, place.scale));
      if (!tile) return null;
      context?.drawImage(tile, x * SIDE - place.x, y * SIDE - place.y);
    }
    return found;
  }

  /** @param {CanvasRenderingContext2D} context @param {import('./camera.js').Camera} camera @param {number} scale @param {boolean} load */
  _level(context, camera, scale, load) {
    const size = camera.zoom * scale;
    for (const [x, y] of tilesUnder(camera.window(scale))) {
      const tile = this._tile(x, y, scale, load);
      if (!tile) continue;
      const left = (x * SIDE * scale - camera.left) * camera.zoom;
      const top = (y * SIDE * scale - camera.top) * camera.zoom;
      context.drawImage(tile, left, top, tile.width * size, tile.height * size);
    }
  }

  /** @param {number} x @param {number} y @param {number} scale @param {boolean} load */
  _tile(x, y, scale, load) {
    const name = nameOf(x, y, scale);
    const found = this._tiles.get(name);
    if (found) {
      this._tiles.delete(name);
      this._tiles.set(name, found);
    } else if (found === undefined && load) {
      this._tiles.set(name, null);
      const width = Math.min(SIDE, Math.ceil(this._facts.width / scale) - x * SIDE);
      const height = Math.min(SIDE, Math.ceil(this._facts.height / scale) - y * SIDE);
      loadImage({ x: x * SIDE, y: y * SIDE, width, height, scale }).then(
        (bitmap) => {
          this._tiles.set(name, bitmap);
          for (const [old, kept] of this._tiles) {
            if (this._tiles.size <= KEPT) break;
            kept?.close();
            this._tiles.delete(old);
          }
          this._onLoad();
        },
        () => this._tiles.delete(name),
      );
    }
    return found;
  }
}
