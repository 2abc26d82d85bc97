// Reads the SPXL container (docs/label-map.md) into plain arrays. All bytes are untrusted.

import { check, checkInteger } from './errors.js';
import { inflateMember } from './inflate.js';
import { MAX_PROVENANCE_BYTES, parseProvenance } from './provenance.js';
import {
  fromPlanes,
  parseHeights,
  parseLabels,
  parseLevels,
  parseRegions,
  parseTree,
  planeCount,
} from './sections.js';

const REQUIRED = ['LABL', 'MASK', 'TREE', 'LVLS'];

/**
 * The contents of a container. Plain data, so that a worker can post it.
 *
 * @typedef {object} MapData
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} count number of regions
 * @property {boolean} connected the writer says that every label is one 4-connected region
 * @property {number} algorithmVersion
 * @property {Int32Array} labels height * width, row by row: 0..count-1, numbered by first appearance; `count` at pixels
 *   outside a mask, which belong to no region
 * @property {boolean} [outside] there are such pixels
 * @property {import('./sections.js').Tree | null} tree all merges
 * @property {import('./sections.js').Levels | null} levels stored coarser levels
 * @property {Float32Array | null} heights count - 1: merge heights, in merge order
 * @property {import('./sections.js').Regions | null} regions measurements of each label
 * @property {import('./provenance.js').Provenance | null} provenance what the map was made from
 */

/**
 * @param {Uint8Array} bytes exactly one container
 * @param {number} maxPixels largest width * height
 * @returns {Promise<MapData>} rejects with a SuperpixelMapError
 */
export async function readContainer(bytes, maxPixels) {
  checkInteger('maxPixels', maxPixels, 1, 2 ** 31 - 1);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readHeader(view, maxPixels);
  const { width, height, count } = header;
  const sections = split(bytes, view);
  const planes = planeCount(count);

  /** @type {<T>(name: string, least: number, most: number, parse: (bytes: Uint8Array, count: number) => T) => Promise<T | null>} */
  const read = async (name, least, most, parse) => {
    const section = sections.get(name);
    if (!section) return null;
    const { stored, rawBytes } = section;
    check(
      rawBytes >= least && rawBytes <= most,
      'MALFORMED',
      `${name}: raw bytes must be ${least} to ${most}, got ${rawBytes}`,
    );
    return parse(await inflateMember(name, stored, rawBytes), count);
  };

  // One section at a time, so that an error in one stops all further work.

  // MASK has the label that stands for the outside, among count + 1 labels.
  const mask = (await read('MASK', 4, 4, (bytes) => fromPlanes(bytes, 0, 1, 4)[0])) ?? -1;
  check(mask <= count, 'MALFORMED', `MASK: must be at most ${count}`);
  const outside = mask >= 0;
  const labels = await read('LABL', 4 + height, 4 + height + 17 * width * height, (bytes) =>
    parseLabels(bytes, width, height, count + +outside),
  );
  check(labels, 'MALFORMED', 'section LABL: missing');
  // The outside becomes the last label, and the labels above it fall by 1.
  for (let i = 0; outside && i < labels.length; i++) {
    if (labels[i] >= mask) labels[i] = labels[i] === mask ? count : labels[i] - 1;
  }
  const treeBytes = 2 * planes * (count - 1);
  const tree = await read('TREE', treeBytes, treeBytes, parseTree);
  const levelBytes = (planes + 1) * (count - 1);
  const levels = await read('LVLS', 5 + levelBytes, 129 + levelBytes, parseLevels);
  const heights = await read('hght', count - 1, 3 * (count - 1), parseHeights);
  const fixed = 31 * count + 4;
  const regions = await read('regn', fixed + count, fixed + 5 * (count + 2 * width * height), parseRegions);
  const provenance = await read('prov', 0, MAX_PROVENANCE_BYTES, (bytes) =>
    parseProvenance(bytes, width, height),
  );
  return { ...header, labels, outside, tree, levels, heights, regions, provenance };
}

/**
 * @param {DataView} view
 * @param {number} maxPixels
 */
function readHeader(view, maxPixels) {
  check(view.byteLength >= 20, 'TRUNCATED', 'header: must be 20 bytes');
  check(view.getUint32(0) === 0x5350584c, 'NOT_A_LABEL_MAP', 'header: must begin with SPXL');
  const version = view.getUint8(4);
  check(version === 1, 'UNSUPPORTED', `header: version must be 1, got ${version}`);
  const flags = view.getUint8(5);
  check(flags <= 1, 'UNSUPPORTED', `header: unknown flags ${flags}`);
  const algorithmVersion = view.getUint16(6, true);
  const [width, height, count] = [8, 12, 16].map((at) => view.getUint32(at, true));
  const pixels = width * height;
  const size = `header: ${width} x ${height} pixels`;
  check(pixels <= maxPixels, 'TOO_LARGE', `${size}, must be at most ${maxPixels}: the option maxPixels`);
  check(count >= 1 && count <= pixels, 'MALFORMED', `${size}, ${count} labels`);
  return { width, height, count, connected: flags === 1, algorithmVersion };
}

/**
 * Find the sections. Unknown optional ones are included, payloads are not read.
 *
 * @param {Uint8Array} bytes
 * @param {DataView} view of the same bytes
 */
function split(bytes, view) {
  /** @type {Map<string, { stored: Uint8Array, rawBytes: number }>} */
  const sections = new Map();
  let at = 20;
  for (;;) {
    check(bytes.length - at >= 12, 'TRUNCATED', `byte ${at}: must begin a section`);
    const type = String.fromCharCode(...bytes.subarray(at, at + 4));
    const storedBytes = view.getUint32(at + 4, true);
    const rawBytes = view.getUint32(at + 8, true);
    const name = `section ${JSON.stringify(type)}`;
    at += 12;
    if (type === 'END\0') {
      check(storedBytes === 0 && rawBytes === 0, 'MALFORMED', `${name}: must have no payload`);
      break;
    }
    check(sections.size > 0 || type === 'LABL', 'MALFORMED', `${name}: must come after LABL`);
    check(!sections.has(type), 'MALFORMED', `${name}: is repeated`);
    const known = REQUIRED.includes(type) || (type >= 'a' && type[0] <= 'z');
    check(known, 'UNSUPPORTED', `${name}: is unknown and not optional`);
    const left = bytes.length - at;
    check(storedBytes <= left, 'TRUNCATED', `${name}: must be at most ${left} bytes`);
    sections.set(type, { stored: bytes.subarray(at, at + storedBytes), rawBytes });
    at += storedBytes;
  }
  check(at === bytes.length, 'MALFORMED', `byte ${at}: must be the end`);
  check(
    !(sections.has('TREE') && sections.has('LVLS')),
    'MALFORMED',
    'section LVLS: must not come with TREE',
  );
  check(!sections.has('hght') || sections.has('TREE'), 'MALFORMED', 'section hght: must come with TREE');
  return sections;
}
