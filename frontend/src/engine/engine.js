// One WebAssembly instance, and the steps of an image in it. It runs in a worker, or in the caller's thread.

import { SuperpixelMapError } from '../errors.js';
import { parseProvenance } from '../provenance.js';
import { bytesOf, fit } from './guidance.js';
import { provenanceOf } from './provenance.js';

/** As `ALGORITHM_VERSION` in kernels/superpixel_kernels/params.py. */
export const ALGORITHM_VERSION = 1;

/** The stages of an image in their order, with their usual shares of the time. */
const STAGES = { color: 0.08, assign: 0.3, components: 0.06, graph: 0.16, merge: 0.3, encode: 0.1 };

/** An instance with more memory than this is not used again: memory of an instance never shrinks. */
const KEPT_BYTES = 2 ** 28;

/** The number that `step` returns after the last step. */
const DONE = 5;

/**
 * An image and what is wanted of it; plain data, so that it can be posted to a worker.
 *
 * @typedef {object} Task
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} channels 1, 3 or 4 bytes per pixel
 * @property {Uint8Array | Uint8ClampedArray} data the pixels, row by row
 * @property {number} compactness
 * @property {import('./guidance.js').Guidance | null} guidance
 * @property {number} count most regions of the map; Infinity: all
 * @property {boolean} regions whether to measure the regions
 * @property {boolean} asContainer whether to return the bytes of an SPXL container
 * @property {Uint8Array | null} file the image file, whose SHA-256 is stored; null: that of the pixels
 */

/**
 * @typedef {object} Progress
 * @property {'color' | 'assign' | 'components' | 'graph' | 'merge' | 'encode'} stage that begins
 * @property {number} share of the work that is done, 0 to 1
 */

/**
 * @typedef {object} Result
 * @property {import('../container.js').MapData | null} map null: `container` is asked for
 * @property {Uint8Array<ArrayBuffer> | null} container
 * @property {number} count regions of the map
 * @property {number} baseCount regions of the base
 * @property {number | null} priorComponents with a hard prior: number of its connected components
 */

/** Runs images, one at a time. */
export class Engine {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this._module = module;
    /** @type {any} the exports of an instance to use again */
    this._kept = null;
  }

  /**
   * @param {Task} task
   * @param {(progress: Progress) => void} onProgress called before each stage
   * @param {() => Promise<void>} pause called before each stage; rejects to cancel
   * @returns {Promise<Result>}
   */
  async run(task, onProgress, pause) {
    const wasm = this._kept ?? (await instantiate(this._module));
    this._kept = null;
    let done = 0;
    /** @param {Progress['stage']} stage */
    const begin = async (stage) => {
      onProgress({ stage, share: done });
      await pause();
      done += STAGES[stage];
    };
    try {
      const result = await segment(wasm, task, begin);
      wasm.end();
      if (wasm.memory.buffer.byteLength <= KEPT_BYTES) this._kept = wasm;
      return result;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      const { width, height } = task;
      throw wasm.out_of_memory()
        ? new SuperpixelMapError(
            'IMAGE_TOO_LARGE',
            `image: ${width} x ${height} pixels need more memory than WebAssembly gets here, at most 4 GB`,
          )
        : new SuperpixelMapError('ENGINE_FAILED', `the engine failed: ${error.message}`);
    }
  }
}

/** @param {WebAssembly.Module} module @returns {Promise<any>} its exports */
async function instantiate(module) {
  /** @type {any} */
  let wasm = null;
  const instance = await WebAssembly.instantiate(module, {
    env: { emscripten_notify_memory_growth: () => {} },
    wasi_snapshot_preview1: {
      /** @type {(id: number, precision: bigint, pointer: number) => number} */
      clock_time_get: (_id, _precision, pointer) => {
        const nanoseconds = BigInt(Math.round(1e6 * performance.now()));
        new DataView(wasm.memory.buffer).setBigUint64(pointer >>> 0, nanoseconds, true);
        return 0;
      },
      proc_exit: () => {
        throw new WebAssembly.RuntimeError('the module ended');
      },
    },
  });
  wasm = instance.exports;
  wasm._initialize();
  return wasm;
}

/**
 * @param {any} wasm
 * @param {Task} task
 * @param {(stage: Progress['stage']) => Promise<void>} begin
 * @returns {Promise<Result>}
 */
async function segment(wasm, task, begin) {
  const { width, height, channels, data, compactness } = task;
  write(wasm, wasm.begin(width, height, channels, compactness), data);
  const guide = task.guidance && fit(task.guidance, width, height);
  if (guide?.edges) write(wasm, wasm.edges(guide.edgeWeight), guide.edges);
  if (guide?.prior) write(wasm, wasm.prior(guide.priorWeight, +guide.hard), guide.prior);
  if (guide?.importance) write(wasm, wasm.importance(), guide.importance);
  const provenance = provenanceOf(task, guide, (parts) => sha256(wasm, parts));

  const names = /** @type {Progress['stage'][]} */ (Object.keys(STAGES));
  for (let at = 0; at < DONE;) {
    await begin(names[at]);
    at = wasm.step();
  }
  await begin('encode');
  const baseCount = wasm.base_count();
  const count = Math.min(baseCount, task.count);
  const facts = { count, baseCount, priorComponents: guide?.hard ? wasm.prior_components() : null };
  const labels = wasm.cut(count);
  const pairs = task.regions ? wasm.measure() >>> 0 : 0;
  if (task.asContainer) {
    wasm.write_map(ALGORITHM_VERSION, 1);
    const payload = wasm.reserve(provenance.length);
    write(wasm, payload, provenance);
    wasm.write_provenance(payload, provenance.length);
    wasm.release(payload);
    const size = wasm.finish_map() >>> 0;
    return { ...facts, map: null, container: read(wasm, Uint8Array, wasm.finished_map(), size) };
  }
  /** @type {import('../container.js').MapData} */
  const map = {
    width,
    height,
    count,
    connected: true,
    algorithmVersion: ALGORITHM_VERSION,
    labels: read(wasm, Int32Array, labels, width * height),
    tree: {
      into: read(wasm, Int32Array, wasm.tree_into(), count - 1),
      order: read(wasm, Int32Array, wasm.tree_order(), count - 1),
    },
    levels: null,
    heights: read(wasm, Float32Array, wasm.tree_heights(), count - 1),
    regions: !task.regions
      ? null
      : {
          area: read(wasm, Uint32Array, wasm.regions_area(), count),
          box: read(wasm, Uint32Array, wasm.regions_box(), 4 * count),
          centroid: read(wasm, Uint32Array, wasm.regions_centroid(), 2 * count),
          meanColor: read(wasm, Uint8Array, wasm.regions_mean_color(), 3 * count),
          neighborOffsets: read(wasm, Uint32Array, wasm.regions_offsets(), count + 1),
          neighbors: read(wasm, Int32Array, wasm.regions_neighbors(), pairs),
        },
    provenance: parseProvenance(provenance, width, height),
  };
  return { ...facts, map, container: null };
}

/**
 * Copy an array into the instance.
 *
 * @param {any} wasm
 * @param {number} pointer signed: addresses above 2 GB are negative
 * @param {Uint8Array | Uint8ClampedArray | Int32Array} values
 */
function write(wasm, pointer, values) {
  new Uint8Array(wasm.memory.buffer).set(bytesOf(values), pointer >>> 0);
}

/**
 * Copy an array out of the instance.
 *
 * @template T
 * @param {any} wasm
 * @param {{ new (buffer: ArrayBuffer): T, BYTES_PER_ELEMENT: number }} Type
 * @param {number} pointer
 * @param {number} length
 * @returns {T}
 */
function read(wasm, Type, pointer, length) {
  const start = pointer >>> 0;
  return new Type(wasm.memory.buffer.slice(start, start + length * Type.BYTES_PER_ELEMENT));
}

/** Bytes that are hashed at once. */
const SLICE = 2 ** 20;

/** @param {any} wasm @param {Uint8Array[]} parts @returns {Uint8Array} the SHA-256 of the parts, one after the other */
function sha256(wasm, parts) {
  const room = wasm.reserve(SLICE);
  for (const part of parts) {
    for (let at = 0; at < part.length; at += SLICE) {
      const slice = part.subarray(at, at + SLICE);
      write(wasm, room, slice);
      wasm.sha256_update(room, slice.length);
    }
  }
  wasm.sha256_finish(room);
  const digest = read(wasm, Uint8Array, room, 32);
  wasm.release(room);
  return digest;
}
