// Guidance: maps beside the image that superpixels follow (docs/algorithm.md). Checks, then fits maps to an image, as
// `superpixel_kernels.Guidance` does.

import { check, checkInteger, isIntegerIn } from '../errors.js';
import { nearest } from '../nearest.js';

/** As `GUIDANCE_VERSION` in kernels/superpixel_kernels/guidance.py. */
export const GUIDANCE_VERSION = 1;

const MAX_EDGE_WEIGHT = 8;
const MAX_PRIOR_WEIGHT = 512;
/** Most pixels of an image and of a map, as in kernels/superpixel_kernels/params.py. */
export const MAX_PIXELS = 2 ** 27;

/**
 * A map: one value per pixel, row by row. Of another size than the image, it is scaled to it by nearest neighbour.
 *
 * @typedef {object} GrayMap
 * @property {Uint8Array | Uint8ClampedArray} data
 * @property {number} width
 * @property {number} height
 */

/**
 * @typedef {object} PriorMap
 * @property {Uint8Array | Uint8ClampedArray | Uint16Array | Uint32Array | Int8Array | Int16Array | Int32Array} data labels, 0 to 2^31 - 1; 0 is a label like any other
 * @property {number} width
 * @property {number} height
 */

/**
 * @typedef {object} Guidance
 * @property {GrayMap | null} [edges] strength of a border at each pixel, 0 to 255
 * @property {number} [edgeWeight] 0 to 8; default 2
 * @property {PriorMap | null} [prior] a label map of any model
 * @property {'soft' | 'hard'} [priorMode] `soft` prefers the prior's borders; superpixels never cross those of `hard`
 * @property {number} [priorWeight] 0 to 512, for mode `soft`; default 64
 * @property {GrayMap | null} [importance] superpixels are (32 + importance) / 32 times as dense
 */

/**
 * Maps of the image's size. A map without effect is null.
 *
 * @typedef {object} Guide
 * @property {Uint8Array | null} edges
 * @property {number} edgeWeight
 * @property {Int32Array | null} prior
 * @property {boolean} hard
 * @property {number} priorWeight
 * @property {Uint8Array | null} importance
 */

/**
 * @param {any} guidance of a caller
 * @returns {Guidance} its known properties, as plain data
 */
export function checkGuidance(guidance) {
  check(typeof guidance === 'object', 'INVALID_ARGUMENT', 'guidance: must be an object');
  const { edges = null, prior = null, importance = null } = guidance;
  const { edgeWeight = 2, priorMode = 'soft', priorWeight = 64 } = guidance;
  checkInteger('guidance.edgeWeight', edgeWeight, 0, MAX_EDGE_WEIGHT);
  checkInteger('guidance.priorWeight', priorWeight, 0, MAX_PRIOR_WEIGHT);
  const isMode = priorMode === 'soft' || priorMode === 'hard';
  check(isMode, 'INVALID_ARGUMENT', `guidance.priorMode: must be soft or hard, got ${priorMode}`);
  check(priorMode === 'soft' || prior, 'INVALID_ARGUMENT', 'guidance.priorMode: hard needs a prior map');
  return {
    edges: edges && checkMap('guidance.edges', edges, isBytes, 'a Uint8Array'),
    edgeWeight,
    prior: prior && checkMap('guidance.prior', prior, isIntegers, 'an array of integers with a type'),
    priorMode,
    priorWeight,
    importance: importance && checkMap('guidance.importance', importance, isBytes, 'a Uint8Array'),
  };
}

/** @param {any} data */
export const isBytes = (data) => data instanceof Uint8Array || data instanceof Uint8ClampedArray;

/** @param {any} data */
function isIntegers(data) {
  return (
    isBytes(data) ||
    [Uint16Array, Uint32Array, Int8Array, Int16Array, Int32Array].some((type) => data instanceof type)
  );
}

/**
 * @param {string} name
 * @param {any} map
 * @param {(data: any) => boolean} isType
 * @param {string} type
 * @returns {any}
 */
function checkMap(name, { data, width, height }, isType, type) {
  check(isType(data), 'INVALID_ARGUMENT', `${name}: data must be ${type}`);
  const fits = isIntegerIn(width, 1, MAX_PIXELS) && isIntegerIn(height, 1, MAX_PIXELS);
  check(
    fits && width * height <= MAX_PIXELS,
    'INVALID_ARGUMENT',
    `${name}: must have from 1 to ${MAX_PIXELS} pixels, got ${width} x ${height}`,
  );
  check(
    data.length === width * height,
    'INVALID_ARGUMENT',
    `${name}: must have ${width * height} values, got ${data.length}`,
  );
  return { data, width, height };
}

/**
 * @param {Guidance} guidance checked
 * @param {number} width of the image
 * @param {number} height of the image
 * @returns {Guide | null} null: no map has an effect
 */
export function fit(guidance, width, height) {
  const { edgeWeight = 0, priorMode, priorWeight = 0 } = guidance;
  const hard = priorMode === 'hard';
  const scaled = (/** @type {GrayMap | PriorMap | null | undefined} */ map) =>
    map && scale(map, width, height);
  const edges = edgeWeight ? scaled(guidance.edges) : null;
  const prior = hard || priorWeight ? scaled(guidance.prior) : null;
  const importance = scaled(guidance.importance);
  const guide = {
    edges: edges && !isConstant(edges) ? bytesOf(edges) : null,
    edgeWeight,
    prior: prior && !isConstant(prior) ? labelsOf(prior) : null,
    hard,
    priorWeight: hard ? 0 : priorWeight,
    importance:
      importance && importance.some((/** @type {number} */ value) => value > 0) ? bytesOf(importance) : null,
  };
  guide.hard &&= guide.prior !== null;
  return guide.edges || guide.prior || guide.importance ? guide : null;
}

/**
 * @param {GrayMap | PriorMap} map
 * @param {number} width
 * @param {number} height
 * @returns {any} its values at each pixel of the image
 */
function scale(map, width, height) {
  if (map.width === width && map.height === height) return map.data;
  const columns = nearest(map.width, width);
  const rows = nearest(map.height, height);
  const { data } = map;
  const result = new /** @type {any} */ (data.constructor)(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const row = rows[y] * map.width;
    for (let x = 0; x < width; x++) result[at++] = data[row + columns[x]];
  }
  return result;
}

/** @param {ArrayLike<number>} values */
function isConstant(values) {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}

/** @param {Uint8Array | Uint8ClampedArray | Int32Array} values @returns {Uint8Array} their memory */
export function bytesOf({ buffer, byteOffset, byteLength }) {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** @param {ArrayLike<number>} values @returns {Int32Array} */
function labelsOf(values) {
  for (let i = 0; i < values.length; i++) {
    const isLabel = values[i] >= 0 && values[i] < 2 ** 31;
    check(isLabel, 'INVALID_ARGUMENT', `guidance.prior: labels must be from 0 to 2^31 - 1, got ${values[i]}`);
  }
  return values instanceof Int32Array ? values : Int32Array.from(values);
}
