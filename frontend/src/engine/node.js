/** The engine in Node: superpixels without a server. README.md shows an example. */

// @ts-ignore: the build has no types of Node, so that only these files use it
import { Worker } from 'node:worker_threads';
import { Calls } from './calls.js';
import { loadModule } from './load-node.js';

/** @typedef {import('./calls.js').Encoded} Encoded */
/** @typedef {import('./calls.js').EncodeOptions} EncodeOptions */
/** @typedef {import('./calls.js').Image} Image */
/** @typedef {import('./calls.js').Options} Options */
/** @typedef {import('./guidance.js').Guidance} Guidance */

/** @returns {import('./calls.js').Port} */
function startWorker() {
  const worker = new Worker(new URL('./worker-node.js', import.meta.url), {
    execArgv: [], // a worker cannot start with the flag --input-type of its process
  });
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (handler) => worker.on('message', handler),
    onError: (handler) => worker.on('error', handler),
    terminate: () => void worker.terminate(),
    busy: (isBusy) => (isBusy ? worker.ref() : worker.unref()), // an idle worker lets the process end
  };
}

const calls = new Calls(startWorker, loadModule);

/**
 * Segment an image into nested superpixels.
 *
 * @param {Image} image
 * @param {Options} [options]
 * @returns {Promise<import('../map.js').LabelMap>} the whole base and its tree, so `cut` gives any count up to `map.count`.
 *   Rejects with a SuperpixelMapError: `INVALID_ARGUMENT`, `IMAGE_TOO_LARGE`, `WORKER_FAILED` or `ENGINE_FAILED`
 */
export function segment(image, options) {
  return calls.segment(image, options);
}

/**
 * Segment an image, and write the label map as an SPXL container with the whole tree.
 *
 * @param {Image} image
 * @param {Options & EncodeOptions} [options]
 * @returns {Promise<Encoded>} rejects as `segment`
 */
export function encode(image, options) {
  return calls.encode(image, options);
}

/**
 * Load the engine before it is needed.
 *
 * @param {{ worker?: boolean }} [options] where it will run, as for `segment`
 * @returns {Promise<void>} resolves when later calls need no network
 */
export function load(options = {}) {
  return calls.load(options);
}
