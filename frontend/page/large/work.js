import { WindowSelection } from './selection.js';

/** The superpixels in view, and what is selected of them: what `Work` is for a whole image. */
export class WindowWork {
  /**
   * @param {import('./api.js').Superpixels} window
   * @param {import('./selection.js').Shared} shared
   * @param {import('./tiles.js').Tiles} tiles
   */
  constructor(window, shared, tiles) {
    this.place = window.place;
    this.map = window.map;
    this.level = window.map.finest;
    this.selection = new WindowSelection(window, shared);
    /** The finest region that stands for pixels of no superpixel. @type {number | undefined} */
    this.outsideRegion = this.selection.outsideRegion;
    this._tiles = tiles;
    /** @type {OffscreenCanvas | null} */
    this._picture = null;
  }

  /** The image in the window; null: it is not loaded yet. */
  get bitmap() {
    return (this._picture ??= this._tiles.picture(this.place));
  }
}
