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

/** Bytes of each known field, by its number. */
const SIZES = [0, 8, 16, 32, 40];

/**
 * @param {Uint8Array} bytes
 * @param {number} width of the map in pixels
 * @param {number} height of the map in pixels
 * @returns {Provenance}
 */
export function parseProvenance(bytes, width, height) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  /** @type {Provenance} */
  const result = { compactness: null, position: null, pictureSize: null, imageSha256: null, guidance: null };
  let last = 0;
  for (let at = 0; at < bytes.length;) {
    const [number, size] = bytes.subarray(at, at + 2);
    const start = at + 2;
    /** @type {(valid: boolean) => void} */
    const must = (valid) => check(valid, 'MALFORMED', `prov: field ${number} is malformed`);
    must(number > last && size <= bytes.length - start && size === (SIZES[number] ?? size));
    at = start + size;
    last = number;
    if (number === 1) {
      const value = view.getFloat64(start, true);
      must(value >= 0 && value < Infinity);
      result.compactness = value;
    } else if (number === 2) {
      const [x, y, ...picture] = [0, 4, 8, 12].map((i) => view.getUint32(start + i, true));
      must(x + width <= picture[0] && y + height <= picture[1]);
      result.position = [x, y];
      result.pictureSize = [picture[0], picture[1]];
    } else if (number === 3) {
      result.imageSha256 = hex(bytes.subarray(start, at));
    } else if (number === 4) {
      const [maps, mode] = bytes.subarray(start + 2);
      const [version, edges, prior] = [0, 4, 6].map((i) => view.getUint16(start + i, true));
      const [hasEdges, hasPrior, importance] = [1, 2, 4].map((bit) => (maps & bit) > 0);
      const isSoft = hasPrior && !mode;
      // The weights and the mode of what there is not are 0.
      must(maps > 0 && maps < 8 && mode < 2 && mode <= +hasPrior);
      must((hasEdges || !edges) && (isSoft || !prior));
      result.guidance = {
        sha256: hex(bytes.subarray(start + 8, at)),
        version,
        edgeWeight: hasEdges ? edges : null,
        priorMode: hasPrior ? (isSoft ? 'soft' : 'hard') : null,
        priorWeight: isSoft ? prior : null,
        importance,
      };
    }
  }
  return result;
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
