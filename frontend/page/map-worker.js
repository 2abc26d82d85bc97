// Reads label maps, and works out what the first strokes on them need, outside the page's thread.

import { decode, SuperpixelMapError } from '../src/index.js';
import { pairsOf } from '../src/regions.js';

/** Rows of the photograph that are read at once. */
const ROWS = 256;

/** Photographs are also kept at half, a quarter, ... of their size, down to about this many pixels. */
const SMALLEST = 400_000;

/**
 * @typedef {object} Prepared
 * @property {any} data of the map, for its constructor
 * @property {{ areas: Uint32Array, boxes: Int32Array, pairs: Int32Array }} finest
 * @property {{ parent: Int32Array, rank: Int32Array }} joins
 * @property {string} fingerprint
 * @property {Float64Array | null} colorSums
 * @property {ImageBitmap[]} reduced the photograph at half its size, a quarter, ...
 */

/** @param {MessageEvent<{ spx: ArrayBuffer, image: Blob | null, reduce: boolean }>} event */
self.onmessage = async ({ data: { spx, image, reduce } }) => {
  try {
    const [map, bitmap] = await Promise.all([
      decode(spx),
      image && createImageBitmap(image).catch(() => null),
    ]);
    const { finest } = map;
    const pairs = finest._once('pairs', () => pairsOf(map));
    const made = { areas: finest.areas, boxes: finest.boxes, pairs };
    const fits = bitmap?.width === map.width && bitmap.height === map.height;
    const colorSums = bitmap && fits ? sumColors(bitmap, map) : null;
    const reduced = bitmap && reduce ? await reductions(bitmap) : [];
    bitmap?.close();
    const { width, height, count, labels, outside, connected, algorithmVersion, tree, levels, heights, regions, provenance } = map; // prettier-ignore
    const content = { width, height, count, labels, outside, connected, algorithmVersion, tree, levels, heights, regions, provenance }; // prettier-ignore
    const { parent, rank } = map.joins;
    const joins = { parent, rank };
    /** @type {Prepared} */
    const answer = { data: content, finest: made, joins, fingerprint: map.fingerprint, colorSums, reduced };
    const arrays = [labels, colorSums, ...[made, joins, tree, levels, regions, { heights }].flatMap((part) => Object.values(part ?? {}))]; // prettier-ignore
    const buffers = arrays.filter(ArrayBuffer.isView).map(({ buffer }) => buffer);
    /** @type {any} */ (self).postMessage(answer, [...new Set(buffers), ...reduced]);
  } catch (error) {
    const code = error instanceof SuperpixelMapError ? error.code : 'WORKER_FAILED';
    self.postMessage({ error: error instanceof Error ? error.message : String(error), code });
  }
};

/**
 * Sums of R, G, B over each finest region, as `LabelMap.measureColors` makes them.
 *
 * @param {ImageBitmap} bitmap
 * @param {import('../src/index.js').LabelMap} map
 */
function sumColors(bitmap, { width, height, count, labels }) {
  const sums = new Float64Array(3 * count);
  const context = new OffscreenCanvas(width, ROWS).getContext('2d', { willReadFrequently: true });
  if (!context) return null;
  context.fillStyle = '#fff'; // transparent pixels are white on the server, too
  for (let top = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let i = 0, pixel = top * width; i < data.length; i += 4, pixel++) {
      const at = 3 * labels[pixel];
      sums[at] += data[i];
      sums[at + 1] += data[i + 1];
      sums[at + 2] += data[i + 2];
    }
  }
  return sums;
}

/** @param {ImageBitmap} bitmap @returns {Promise<ImageBitmap[]>} at half its size, a quarter, ... */
async function reductions(bitmap) {
  const found = [];
  for (let last = bitmap; last.width * last.height > SMALLEST;) {
    last = await createImageBitmap(last, {
      resizeWidth: Math.max(1, Math.round(last.width / 2)),
      resizeHeight: Math.max(1, Math.round(last.height / 2)),
      resizeQuality: 'high',
    });
    found.push(last);
  }
  return found;
}
