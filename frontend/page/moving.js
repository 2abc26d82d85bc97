import { inSlices } from './slices.js';

/**
 * What `Selection.moveTo` needs to know on another map of the image, worked out in slices.
 *
 * @param {import('../src/index.js').Selection} selection
 * @param {import('../src/index.js').LabelMap} map
 * @param {() => boolean} isCurrent whether the selection is as it was
 * @returns {Promise<import('../src/selection.js').Moved | null>} null: the selection has changed meanwhile
 */
export async function moved({ regions: old, pixels: paint, map: { labels: from } }, map, isCurrent) {
  const { labels: to, count } = map;
  const regions = new Uint16Array(count);
  const seen = new Uint8Array(count);
  const spots = new Uint8Array(count);
  /** @param {number} i @returns {number} the value of a pixel */
  const valueAt = (i) => {
    const painted = paint ? paint[i] : 0;
    return painted ? painted - 1 : old[from[i]];
  };
  let done = await inSlices(to.length, isCurrent, (start, end) => {
    for (let i = start; i < end; i++) {
      const value = valueAt(i);
      const region = to[i];
      if (!seen[region]) regions[region] = value;
      else if (regions[region] !== value) regions[region] = 0;
      seen[region] = 1;
    }
  });
  /** Made for the first pixel that needs paint. @type {Uint16Array | null} */
  let pixels = null;
  done &&= await inSlices(to.length, isCurrent, (start, end) => {
    for (let i = start; i < end; i++) {
      const value = valueAt(i);
      const region = to[i];
      if (value === regions[region] || region === count) continue;
      pixels ??= new Uint16Array(to.length);
      pixels[i] = 1 + value;
      spots[region] = 1;
    }
  });
  return done ? { regions, pixels, spots } : null;
}
