// Marks that are visible on any image: each line has a dark and a light side.

import { isLight } from './colors.js';

const DARK = 0xb0000000;
const LIGHT = 0xf0ffffff;
const TINT = 0x40ffffff;
const CASING = 0x8c000000;

/**
 * The picture of a region that lights up: brighter, with a dark edge and a light one inside it.
 *
 * @param {Uint8Array} inside height * width: 1 in the region
 * @param {number} width
 * @param {number} height
 * @param {number} thick pixels of each edge
 * @returns {ImageData}
 */
export function glow(inside, width, height, thick) {
  const picture = new ImageData(width, height);
  const out = new Uint32Array(picture.data.buffer);
  let [edge, rest] = [inside, inside];
  for (const color of [DARK, LIGHT]) {
    for (let i = 0; i < thick; i++) {
      rest = shrunk(edge, width, height);
      for (let at = 0; at < out.length; at++) if (edge[at] && !rest[at]) out[at] = color;
      edge = rest;
    }
  }
  for (let at = 0; at < out.length; at++) if (rest[at]) out[at] = TINT;
  return picture;
}

/**
 * @param {Uint8Array} inside
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array} without the pixels at the edge of the shape. The edge of the picture is none
 */
function shrunk(inside, width, height) {
  const left = inside.slice();
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (
        (x > 0 && !inside[at - 1]) ||
        (x + 1 < width && !inside[at + 1]) ||
        (y > 0 && !inside[at - width]) ||
        (y + 1 < height && !inside[at + width])
      )
        left[at] = 0;
    }
  }
  return left;
}

/**
 * Give each line of a picture a side of the opposite lightness, to its right and below it.
 *
 * @param {ImageData} picture transparent, apart from lines of one colour
 * @param {number[]} color R, G, B of the lines
 */
export function casing({ data, width }, color) {
  const out = new Uint32Array(data.buffer);
  const side = isLight(color) ? CASING : CASING | 0xffffff;
  // Backwards, so that a side is no line for the next pixel.
  for (let at = out.length - 1; at > width; at--) {
    if (!out[at] && (out[at - 1] || out[at - width])) out[at] = side;
  }
}

/**
 * Keep the edges of a picture of classes, and clear the rest.
 *
 * @param {ImageData} picture
 * @param {number} thick pixels
 */
export function contours({ data, width, height }, thick) {
  const out = new Uint32Array(data.buffer);
  const classes = out.slice();
  out.fill(0);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const own = classes[at];
      if (!own) continue;
      for (let far = 1; far <= thick; far++) {
        if (
          (x >= far && classes[at - far] !== own) ||
          (x + far < width && classes[at + far] !== own) ||
          (y >= far && classes[at - far * width] !== own) ||
          (y + far < height && classes[at + far * width] !== own)
        ) {
          out[at] = own;
          break;
        }
      }
    }
  }
}
