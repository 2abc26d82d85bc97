// The classes and objects of a selection, drawn into a picture.

import { FIRST_OBJECT } from './annotation.js';
import { packed, pixelsOf, sample } from './view.js';

/** Largest part of white or black in the shade of an object. */
const MOST_SHADE = 0.45;

/** Multiples of the golden ratio: the shades of objects that follow each other in the list are far apart. */
const GOLDEN = 0.6180339887;

/**
 * @param {ArrayLike<number>} color R, G, B, A bytes
 * @param {number} index of the object
 * @returns {number[]} the colour, lighter or darker; object 0 has the colour itself
 */
function shadeOf(color, index) {
  const share = MOST_SHADE * (((2 * index * GOLDEN + 1) % 2) - 1);
  const [r, g, b] = Array.from(color, (byte) => byte + Math.abs(share) * ((share > 0 ? 255 : 0) - byte));
  return [r, g, b, color[3] ?? 255];
}

/**
 * @param {import('./state.js').SelectionState} selection
 * @param {Uint8ClampedArray | Uint8Array} rgba the picture
 * @param {import('./view.js').View} view
 * @param {ArrayLike<number>[]} colors R, G, B, A bytes of class 1, 2, ...
 * @param {boolean} shades whether each object has a shade of its own
 */
export function drawClasses(selection, rgba, view, colors, shades) {
  const out = pixelsOf(rgba, view);
  const { objects } = selection;
  const palette = new Uint32Array(FIRST_OBJECT + objects.length);
  colors.forEach((color, i) => (palette[i + 1] = packed(color)));
  objects.forEach((one, i) => {
    const color = colors[one.class - 1];
    if (color) palette[FIRST_OBJECT + i] = packed(shades ? shadeOf(color, i) : color);
  });
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
