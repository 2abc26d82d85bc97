import { LabelMap, SuperpixelMapError } from '../src/index.js';
import { Joins } from '../src/joins.js';
import { Problem } from './api.js';
import { Background } from './background.js';

/** @typedef {import('./map-worker.js').Prepared} Prepared */

const worker = new Background(new URL('./map-worker.js', import.meta.url));

/**
 * Read a label map in a worker, with what the first strokes on it need.
 *
 * @param {ArrayBuffer} spx
 * @param {object} options
 * @param {Blob} options.image the photograph, whose colours are measured
 * @param {boolean} [options.reduce] whether to make smaller copies of the photograph, too
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{ map: LabelMap, reduced: ImageBitmap[] }>} rejects with a SuperpixelMapError
 */
export async function readMap(spx, { image, reduce = false, signal }) {
  /** @type {Prepared} */
  const { data, finest, joins, fingerprint, colorSums, reduced } = await worker
    .ask({ spx, image, reduce })
    .catch((error) => {
      throw new SuperpixelMapError(error.code ?? 'WORKER_FAILED', error.message);
    });
  signal?.throwIfAborted();
  const map = new LabelMap(data);
  const _joins = Object.assign(Object.create(Joins.prototype), joins);
  Object.assign(map, { _joins, _fingerprint: fingerprint, _colorSums: colorSums });
  Object.assign(map.finest._made, finest);
  return { map, reduced };
}

/**
 * @param {ImageBitmap | null} bitmap
 * @param {LabelMap} map
 * @returns {ImageBitmap}
 */
export function checkBitmap(bitmap, map) {
  if (!bitmap) {
    throw new Problem(
      'This browser cannot show the image',
      'The server can read it: save it as PNG or JPEG.',
      { reason: 'NOT_SHOWN' },
    );
  }
  if (bitmap.width !== map.width || bitmap.height !== map.height) {
    throw new Problem(
      'The image is not what the server saw',
      `The browser shows ${bitmap.width} × ${bitmap.height} pixels, the server saw ${map.width} × ${map.height}.`,
    );
  }
  return bitmap;
}
