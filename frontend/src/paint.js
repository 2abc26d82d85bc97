// Painted pixels, and which of them a region tool removes.

import { append } from './runs.js';

/** @typedef {import('./map.js').LabelMap} LabelMap */
/** @typedef {import('./runs.js').Runs} Runs */

/**
 * @param {Uint8Array} pixels `Selection.pixels`
 * @param {LabelMap} map
 * @returns {Uint8Array} map.count: 1 for each finest region that contains paint
 */
export function paintedRegions(pixels, { labels, count }) {
  const spots = new Uint8Array(count);
  pixels.forEach((value, i) => value && (spots[labels[i]] = 1));
  return spots;
}

/**
 * The painted pixels that a region tool removes: see `Selection`.
 *
 * @param {Uint8Array} pixels `Selection.pixels`
 * @param {import('./history.js').State} selection before the regions get their class
 * @param {Uint8Array} spots 1 for each finest region that may contain paint; 0 is set for those that lose it
 * @param {number[]} members finest regions that the tool chooses
 * @param {number} value their class
 * @param {Runs} [shape] pixels under the tool, if it has a shape
 * @returns {Runs} pixels
 */
export function coveredPaint(pixels, { map, regions }, spots, members, value, shape) {
  /** @type {Runs} */
  const runs = [];
  const { labels, width } = map;
  const { boxes } = map.finest;
  const taken = new Uint8Array(map.count);
  for (const member of members) {
    taken[member] = 1;
    if (!spots[member] || (shape && value && regions[member] === value)) continue;
    spots[member] = 0;
    const [x0, y0, x1, y1] = boxes.subarray(4 * member, 4 * member + 4);
    for (let y = y0; y < y1; y++) {
      for (let at = y * width + x0, end = y * width + x1; at < end; at++) {
        if (pixels[at] && labels[at] === member) append(runs, at);
      }
    }
  }
  for (let i = 0; shape && i < shape.length; i += 2) {
    for (let at = shape[i], end = at + shape[i + 1]; at < end; at++) {
      if (pixels[at] && (!value || taken[labels[at]])) append(runs, at);
    }
  }
  return runs;
}
