// Reads the section `prov` of a container (docs/label-map.md): what the map was made from.

import { check } from './errors.js';

/**
 * The maps that the superpixels followed.
 *
 * @typedef {object} GuidanceRecord
 * @property {string} sha256 64 hexadecimal digits: of the maps after scaling, their weights and the mode
 * @property {number} version version of guidance
 * @property {number | null} edgeWeight weight of the edge map; null without one
 * @property {'soft' | 'hard' | null} priorMode how the prior map was used; null without one
 * @property {number | null} priorWeight weight of the prior map; null without one, and in mode `hard`
 * @property {boolean} importance whether there was an importance map
 */

/**
 * What a map was made from, as the writer says; not verified. A property is null if the writer does not say.
 *
 * @typedef {object} Provenance
 * @property {number | null} compactness
 * @property {[number, number] | null} position column and row of the map's first pixel in the whole picture
 * @property {[number, number] | null} pictureSize width and height of the whole picture in pixels
 * @property {string | null} imageSha256 64 hexadecimal digits: of the image file, or of the pixels without a file
 * @property {GuidanceRecord | null} guidance null also if there was no guidance
 */

/** Most raw bytes of the section. */
export const MAX_PROVENANCE_BYTES = 4096;

const SIZES = [0, 8, 16, 32, 40];

/**
 * @param {Uint8Array} bytes
 * @param {number} width of the map in pixels
 * @param {number} height of the map in pixels
 * @returns {Provenance}
 */
export function parseProvenance(bytes, width, height) {
  /** @type {Provenance} */
  const result = { compactness: null, position: null, pictureSize: null, imageSha256: null, guidance: null };
  let last = 0;
  for (let at = 0; at < bytes.length;) {
    check(bytes.length - at >= 2, 'MALFORMED', 'prov: ends inside a field');
    const [number, size] = bytes.subarray(at, at + 2);
    const name = `prov: field ${number}`;
    at += 2;
    check(number > last, 'MALFORMED', `${name}: must come before field ${last}`);
    check(size <= bytes.length - at, 'MALFORMED', `${name}: ends after the section`);
    const expected = SIZES[number] ?? size;
    check(size === expected, 'MALFORMED', `${name}: must be ${expected} bytes, got ${size}`);
    readField(result, number, bytes.subarray(at, at + size), width, height);
    at += size;
    last = number;
  }
  return result;
}

/**
 * @param {Provenance} result
 * @param {number} number unknown ones are skipped
 * @param {Uint8Array} bytes
 * @param {number} width
 * @param {number} height
 */
function readField(result, number, bytes, width, height) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (number === 1) {
    const compactness = view.getFloat64(0, true);
    const valid = compactness >= 0 && Number.isFinite(compactness);
    check(valid, 'MALFORMED', `prov: compactness must be 0 or more, got ${compactness}`);
    result.compactness = compactness;
  } else if (number === 2) {
    const [x, y, pictureWidth, pictureHeight] = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
    const inside = x + width <= pictureWidth && y + height <= pictureHeight;
    check(inside, 'MALFORMED', 'prov: the map must lie inside its picture');
    result.position = [x, y];
    result.pictureSize = [pictureWidth, pictureHeight];
  } else if (number === 3) {
    result.imageSha256 = hex(bytes);
  } else if (number === 4) {
    result.guidance = readGuidance(view, hex(bytes.subarray(8)));
  }
}

/**
 * @param {DataView} view
 * @param {string} sha256
 * @returns {GuidanceRecord}
 */
function readGuidance(view, sha256) {
  const maps = view.getUint8(2);
  const mode = view.getUint8(3);
  const edgeWeight = view.getUint16(4, true);
  const priorWeight = view.getUint16(6, true);
  check(maps >= 1 && maps <= 7 && mode <= 1, 'MALFORMED', 'prov: unknown maps or mode of guidance');
  const [edges, prior, importance] = [1, 2, 4].map((bit) => (maps & bit) !== 0);
  const soft = prior && mode === 0;
  const unused = (edgeWeight === 0 || edges) && (priorWeight === 0 || soft) && (mode === 0 || prior);
  check(unused, 'MALFORMED', 'prov: what the guidance does not use must be 0');
  return {
    sha256,
    version: view.getUint16(0, true),
    edgeWeight: edges ? edgeWeight : null,
    priorMode: prior ? (soft ? 'soft' : 'hard') : null,
    priorWeight: soft ? priorWeight : null,
    importance,
  };
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
