import { Sliders } from '../sliders.js';

/** The slider of the brush radius, and what is shown. The superpixels have the size that suits the zoom. */
export class LargeSliders extends Sliders {
  _bind() {
    this._bindRadius();
  }

  stepSize() {}

  showOpacity() {
    const { layers } = this._app;
    /** @type {any} */ (layers).shown = { fill: !this._hidden.fill, lines: !this._hidden.lines };
    layers.redrawAll();
  }
}
