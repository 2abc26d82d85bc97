// The public functions, over a worker or the caller's thread. The entries index.js and node.js say how both are started.

import { check, isIntegerIn, SuperpixelMapError } from '../errors.js';
import { LabelMap } from '../map.js';
import { checkGuidance, isBytes, MAX_PIXELS } from './guidance.js';
import { serve } from './serve.js';

/** @typedef {import('./engine.js').Progress} Progress */
/** @typedef {import('./engine.js').Result} Result */
/** @typedef {import('./engine.js').Task} Task */
/** @typedef {import('./guidance.js').Guidance} Guidance */

/**
 * An image, for example an ImageData.
 *
 * @typedef {object} Image
 * @property {Uint8Array | Uint8ClampedArray} data row by row; 4 bytes per pixel are RGBA (straight alpha, composited on
 *   white), 3 are RGB, 1 is gray
 * @property {number} width pixels
 * @property {number} height pixels; width * height is at most 2^27
 */

/**
 * @typedef {object} Options
 * @property {number} [compactness] weight of shape against colour, 0 to 100; default 10
 * @property {Guidance | null} [guidance] maps that superpixels follow besides the colours
 * @property {Uint8Array | null} [file] the image file. Its SHA-256 is stored with the map, as the service does; without
 *   it that of `image.data`
 * @property {AbortSignal} [signal] cancels the call, which rejects with the signal's reason
 * @property {(progress: Progress) => void} [onProgress] called before each stage
 * @property {boolean} [worker] false: run in the calling thread, which blocks during each stage. Default: in one worker
 *   that all calls share, one after the other
 */

/**
 * @typedef {object} EncodeOptions
 * @property {number} [count] regions of the map, at most its base count; default: the base count
 * @property {number} [area] instead of `count`: the average size of a region in pixels, above 0
 * @property {boolean} [regions] whether to store measurements of the regions
 */

/**
 * A label map as an SPXL container, with what the service says beside it.
 *
 * @typedef {object} Encoded
 * @property {Uint8Array<ArrayBuffer>} bytes the container, with the whole tree: the same bytes as the service's
 * @property {number} count regions of the map
 * @property {number} baseCount regions of the base
 * @property {number | null} priorComponents with a hard prior: number of its connected components
 */

/**
 * @typedef {object} Port
 * @property {(message: any, transfer?: any[]) => void} post
 * @property {(handler: (message: any) => void) => void} onMessage
 * @property {(handler: (error: any) => void) => void} onError
 * @property {() => void} terminate
 * @property {(isBusy: boolean) => void} busy a busy worker keeps the process alive
 */

/** @typedef {{ resolve: (result: any) => void, reject: (error: any) => void, onProgress?: Options['onProgress'] }} Call */

/** The calls of one page or process. */
export class Calls {
  /**
   * @param {() => Port} startWorker
   * @param {() => Promise<WebAssembly.Module>} loadModule
   */
  constructor(startWorker, loadModule) {
    this._startWorker = startWorker;
    this._loadModule = loadModule;
    /** @type {Port | null} */
    this._worker = null;
    /** The calling thread in place of a worker. @type {Port | null} */
    this._local = null;
    /** @type {Map<number, Call>} */
    this._open = new Map();
    this._last = 0;
  }

  /**
   * @param {Image} image
   * @param {Options} [options]
   * @returns {Promise<LabelMap>}
   */
  async segment(image, options = {}) {
    const task = { ...taskOf(image, options), count: Infinity, regions: true, asContainer: false };
    const { map } = await this._run(task, options);
    return new LabelMap(/** @type {import('../container.js').MapData} */ (map));
  }

  /**
   * @param {Image} image
   * @param {Options & EncodeOptions} [options]
   * @returns {Promise<Encoded>}
   */
  async encode(image, options = {}) {
    const { count, area, regions = false } = options;
    const most = image.width * image.height;
    const from = taskOf(image, options);
    check(count === undefined || area === undefined, 'INVALID_ARGUMENT', 'count: must not come with area');
    if (count !== undefined)
      check(
        isIntegerIn(count, 1, most),
        'INVALID_ARGUMENT',
        `count: must be from 1 to ${most}, got ${count}`,
      );
    if (area !== undefined)
      check(area > 0 && area < Infinity, 'INVALID_ARGUMENT', `area: must be above 0, got ${area}`);
    // As the service rounds it.
    const wanted = area === undefined ? (count ?? Infinity) : Math.max(1, Math.floor(most / area + 0.5));
    const result = await this._run({ ...from, count: wanted, regions, asContainer: true }, options);
    const { baseCount, priorComponents } = result;
    const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (result.container);
    return { bytes, count: result.count, baseCount, priorComponents };
  }

  /**
   * @param {{ worker?: boolean }} options
   * @returns {Promise<void>}
   */
  load({ worker = true }) {
    return this._ask(this._port(worker), { load: true }, {});
  }

  /**
   * @param {Task} task
   * @param {Options} options
   * @returns {Promise<Result>}
   */
  _run(task, { worker = true, signal, onProgress }) {
    return this._ask(this._port(worker), { task }, { signal, onProgress });
  }

  /** @param {boolean} isWorker */
  _port(isWorker) {
    if (isWorker) return this._worker ?? this._start();
    if (!this._local) {
      this._local = local(this._loadModule);
      this._local.onMessage((message) => this._answered(message));
    }
    return this._local;
  }

  _start() {
    const worker = this._startWorker();
    worker.onMessage((message) => this._answered(message));
    worker.onError((error) => {
      if (this._worker !== worker) return;
      this._worker = null;
      worker.terminate();
      const text = `the worker failed: ${error?.message ?? 'not loaded'}`;
      for (const { reject } of this._open.values()) reject(new SuperpixelMapError('WORKER_FAILED', text));
      this._open.clear();
    });
    this._worker = worker;
    return worker;
  }

  /**
   * @param {Port} port
   * @param {any} message
   * @param {Options} options
   * @returns {Promise<any>}
   */
  _ask(port, message, { signal, onProgress }) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const id = ++this._last;
      const cancel = () => {
        port.post({ id, cancel: true });
        this._open.get(id)?.reject(signal?.reason);
      };
      const ended = () => {
        this._open.delete(id);
        signal?.removeEventListener('abort', cancel);
        if (!this._open.size) port.busy(false);
      };
      this._open.set(id, {
        resolve: (result) => (ended(), resolve(result)),
        reject: (error) => (ended(), reject(error)),
        onProgress,
      });
      signal?.addEventListener('abort', cancel, { once: true });
      port.busy(true);
      port.post({ id, ...message });
    });
  }

  /** @param {any} message */
  _answered({ id, result, progress, error }) {
    const call = this._open.get(id);
    if (progress) call?.onProgress?.(progress);
    else if (error) call?.reject(new SuperpixelMapError(error.code, error.message));
    else call?.resolve(result);
  }
}

/**
 * The calling thread as a port.
 *
 * @param {() => Promise<WebAssembly.Module>} loadModule
 * @returns {Port}
 */
function local(loadModule) {
  /** @type {(message: any) => void} */
  let handler = () => {};
  const receive = serve((message) => handler(message), loadModule);
  return {
    post: receive,
    onMessage: (given) => (handler = given),
    onError: () => {},
    terminate: () => {},
    busy: () => {},
  };
}

/**
 * @param {Image} image
 * @param {Options} options
 */
function taskOf(image, { compactness = 10, guidance = null, file = null }) {
  const { data, width, height } = image;
  check(isIntegerIn(width, 1, 2 ** 31) && isIntegerIn(height, 1, 2 ** 31), 'INVALID_ARGUMENT', `image: must have a width and a height, got ${width} x ${height}`); // prettier-ignore
  const pixels = width * height;
  check(
    pixels <= MAX_PIXELS,
    'IMAGE_TOO_LARGE',
    `image: ${width} x ${height} pixels, must be at most ${MAX_PIXELS}`,
  );
  check(isBytes(data), 'INVALID_ARGUMENT', 'image: data must be a Uint8ClampedArray or a Uint8Array');
  const channels = data.length / pixels;
  check(
    [1, 3, 4].includes(channels),
    'INVALID_ARGUMENT',
    `image: data must have 1, 3 or 4 bytes for each of ${pixels} pixels, got ${data.length}`,
  );
  const isNumber = typeof compactness === 'number' && compactness >= 0 && compactness <= 100;
  check(isNumber, 'INVALID_ARGUMENT', `compactness: must be from 0 to 100, got ${compactness}`);
  check(file === null || file instanceof Uint8Array, 'INVALID_ARGUMENT', 'file: must be a Uint8Array');
  return { width, height, channels, data, compactness, guidance: guidance && checkGuidance(guidance), file };
}
