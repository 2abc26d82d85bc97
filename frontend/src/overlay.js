// The classes of a selection, drawn into a picture.

import { MAX_CLASSES } from './annotation.js';
import { packed, pixelsOf, sample } from './view.js';

/**
 * @param {import('./history.js').State} selection
 * @param {Uint8ClampedArray | Uint8Array} rgba the picture
 * @param {import('./view.js').View} view
 * @param {ArrayLike<number>[]} colors R, G, B, A bytes of class 1, 2, ...
 */
export function drawClasses(selection, rgba, view, colors) {
  const out = pixelsOf(rgba, view);
  const palette = new Uint32Array(MAX_CLASSES + 1);
  colors.forEach((color, i) => (palette[i + 1] = packed(color)));
  const { map, regions, pixels } = selection;
  const { labels } = map;
  const ofRegion = new Uint32Array(map.count);
  for (let i = 0; i < ofRegion.length; i++) ofRegion[i] = palette[regions[i]];
  const columns = sample(view.x, view.scale, view.width, map.width);
  const rows = sample(view.y, view.scale, view.height, map.height);
  for (let j = 0; j < view.height; j++) {
    const at = j * view.width;
    if (rows[j] < 0) {
      out.fill(0, at, at + view.width);
    } else if (j > 0 && rows[j] === rows[j - 1]) {
      out.copyWithin(at, at - view.width, at);
    } else {
      const top = rows[j] * map.width;
      for (let i = 0; i < view.width; i++) {
        const pixel = top + columns[i];
        if (columns[i] < 0) out[at + i] = 0;
        else if (pixels?.[pixel]) out[at + i] = palette[pixels[pixel] - 1];
        else out[at + i] = ofRegion[labels[pixel]];
      }
    }
  }
}
