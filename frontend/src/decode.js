import { readContainer } from './container.js';
import { check, SuperpixelMapError } from './errors.js';
import { LabelMap } from './map.js';

/**
 * Read a label map in the SPXL format, as the superpixel service writes it.
 *
 * @param {Uint8Array | ArrayBuffer} bytes exactly one container; not changed
 * @param {object} [options]
 * @param {number} [options.maxPixels] largest width * height, 1 to 2^31 - 1. A larger map is rejected before its memory is
 *   allocated, which is 4 bytes per pixel. Default: 2^17 for each byte of `bytes`, at most 2^27. All maps of the service up to
 *   16,384 pixels wide fit; for others give the size that you expect
 * @param {boolean} [options.worker] read in a Web Worker, so that the page stays responsive. One idle worker is kept for
 *   the next map
 * @param {AbortSignal} [options.signal] with `worker`: stops reading, and rejects with the signal's reason
 * @returns {Promise<LabelMap>} rejects with a SuperpixelMapError: `INVALID_ARGUMENT`, `WORKER_FAILED`, or a `DataErrorCode`
 */
export async function decode(bytes, { maxPixels, worker = false, signal } = {}) {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  check(view instanceof Uint8Array, 'INVALID_ARGUMENT', 'bytes: must be a Uint8Array or an ArrayBuffer');
  const most = maxPixels ?? Math.min(2 ** 27, 2 ** 17 * (view.length || 1));
  const data = worker ? await readInWorker(view, most, signal) : await readContainer(view, most);
  return new LabelMap(data);
}

/**
 * At most one idle worker, kept because starting one takes longer than reading most maps.
 *
 * @type {Worker[]}
 */
const idle = [];

/**
 * @param {Uint8Array} bytes
 * @param {number} maxPixels
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<import('./container.js').MapData>}
 */
async function readInWorker(bytes, maxPixels, signal) {
  signal?.throwIfAborted();
  check(typeof Worker === 'function', 'WORKER_FAILED', 'worker: is not available');
  const worker = idle.pop() ?? new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  let answered = false;
  try {
    return await new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      worker.onmessage = ({ data }) => {
        answered = true;
        if ('error' in data) reject(new SuperpixelMapError(data.error.code, data.error.message));
        else resolve(data.map);
      };
      worker.onerror = (event) => {
        reject(
          new SuperpixelMapError('WORKER_FAILED', `the worker failed: ${event.message ?? 'not loaded'}`),
        );
      };
      worker.postMessage({ bytes, maxPixels });
    });
  } finally {
    if (answered && !idle.length) idle.push(worker);
    else worker.terminate();
  }
}
