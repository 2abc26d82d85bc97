// The container SPXL (docs/label-map.md): bytes to plain arrays. Every byte comes from outside.

import { check, checkInteger } from './errors.js';
import { inflateMember } from './inflate.js';
import { parseHeights, parseLabels, parseLevels, parseRegions, parseTree, planeCount } from './sections.js';

/** Largest map that is read unless the caller says otherwise: 1 GiB of labels. */
export const MAX_PIXELS = 2 ** 28;

const KNOWN = ['LABL', 'TREE', 'LVLS', 'hght', 'regn'];

/**
 * What a container holds, as plain arrays: it crosses from a worker unharmed.
 *
 * @typedef {object} MapData
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} count labels
 * @property {boolean} connected the writer's word that every label is one 4-connected region
 * @property {number} algorithmVersion
 * @property {Int32Array} labels height * width, row by row, 0..count-1 by first appearance
 * @property {import('./sections.js').Tree | null} tree
 * @property {import('./sections.js').Levels | null} levels
 * @property {Float32Array | null} heights count - 1: heights of the merges, in their order
 * @property {import('./sections.js').Regions | null} regions
 */

/**
 * @param {Uint8Array} bytes the whole container and nothing else
 * @param {number} maxPixels
 * @returns {Promise<MapData>}
 */
export async function readContainer(bytes, maxPixels) {
  checkInteger('maxPixels', maxPixels, 1, 2 ** 31 - 1);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readHeader(view, maxPixels);
  const { width, height, count } = header;
  const sections = split(bytes, view);
  const planes = planeCount(count);

  /** @type {(name: string, least: number, most: number) => Promise<Uint8Array | null>} */
  const payload = async (name, least, most) => {
    const section = sections.get(name);
    if (!section) return null;
    const allowed = least === most ? `${least}` : `${least} to ${most}`;
    check(
      section.rawBytes >= least && section.rawBytes <= most,
      'MALFORMED',
      `${name}: ${section.rawBytes} raw bytes announced, this map's header allows ${allowed}`,
    );
    return inflateMember(name, section.stored, section.rawBytes);
  };

  // One section after the other: what is refused in one is never followed by work on the next.
  const labl = await payload('LABL', 4 + height, 4 + height + 17 * width * height);
  check(labl, 'MALFORMED', 'section LABL: missing');
  const labels = parseLabels(labl, width, height, count);
  const treeBytes = 2 * planes * (count - 1);
  const tree = await payload('TREE', treeBytes, treeBytes);
  const levelBytes = (planes + 1) * (count - 1);
  const levels = await payload('LVLS', 5 + levelBytes, 129 + levelBytes);
  const parsedTree = tree && parseTree(tree, count);
  const parsedLevels = levels && parseLevels(levels, count);
  const heights = await payload('hght', count - 1, 3 * (count - 1));
  const parsedHeights = heights && parseHeights(heights, count);
  const fixed = 31 * count + 4;
  const regions = await payload('regn', fixed + count, fixed + 5 * (count + 2 * width * height));
  return {
    ...header,
    labels,
    tree: parsedTree,
    levels: parsedLevels,
    heights: parsedHeights,
    regions: regions && parseRegions(regions, count),
  };
}

/**
 * @param {DataView} view
 * @param {number} maxPixels
 */
function readHeader(view, maxPixels) {
  check(view.byteLength >= 20, 'TRUNCATED', `header: ${view.byteLength} bytes, it takes 20`);
  check(
    view.getUint32(0) === 0x5350584c,
    'NOT_A_LABEL_MAP',
    'header: not a label map, it does not begin with SPXL',
  );
  const version = view.getUint8(4);
  check(version === 1, 'UNSUPPORTED', `header: format version ${version}, only 1 is known`);
  const flags = view.getUint8(5);
  check(flags <= 1, 'UNSUPPORTED', `header: unknown flags in ${flags}`);
  const algorithmVersion = view.getUint16(6, true);
  const [width, height, count] = [8, 12, 16].map((at) => view.getUint32(at, true));
  check(width > 0 && height > 0, 'MALFORMED', `header: ${width} x ${height} pixels`);
  const pixels = width * height;
  check(
    pixels <= maxPixels,
    'TOO_LARGE',
    `header: ${width} x ${height} pixels, at most ${maxPixels} are taken`,
  );
  check(count >= 1 && count <= pixels, 'MALFORMED', `header: ${count} labels in ${width} x ${height} pixels`);
  return { width, height, count, connected: flags === 1, algorithmVersion };
}

/**
 * The sections by type, payloads untouched; unknown optional ones too.
 *
 * @param {Uint8Array} bytes
 * @param {DataView} view
 */
function split(bytes, view) {
  /** @type {Map<string, { stored: Uint8Array, rawBytes: number }>} */
  const sections = new Map();
  let at = 20;
  for (;;) {
    check(bytes.length - at >= 12, 'TRUNCATED', `byte ${at}: the container ends where a section must begin`);
    const type = String.fromCharCode(...bytes.subarray(at, at + 4));
    const storedBytes = view.getUint32(at + 4, true);
    const rawBytes = view.getUint32(at + 8, true);
    const name = `section ${JSON.stringify(type)}`;
    at += 12;
    if (type === 'END\0') {
      check(storedBytes === 0 && rawBytes === 0, 'MALFORMED', `${name}: must have no payload`);
      break;
    }
    check(sections.size > 0 || type === 'LABL', 'MALFORMED', `${name}: the first one must be LABL`);
    check(!sections.has(type), 'MALFORMED', `${name}: comes twice`);
    const known = KNOWN.includes(type) || (type >= 'a' && type[0] <= 'z');
    check(known, 'UNSUPPORTED', `${name}: unknown, and not marked optional by a lowercase letter`);
    const left = bytes.length - at;
    check(storedBytes <= left, 'TRUNCATED', `${name}: ${storedBytes} bytes announced, ${left} left`);
    sections.set(type, { stored: bytes.subarray(at, at + storedBytes), rawBytes });
    at += storedBytes;
  }
  check(at === bytes.length, 'MALFORMED', `byte ${at}: ${bytes.length - at} bytes after the last section`);
  check(sections.has('LABL'), 'MALFORMED', 'section LABL: missing');
  check(
    !(sections.has('TREE') && sections.has('LVLS')),
    'MALFORMED',
    'section LVLS: never together with TREE',
  );
  check(!sections.has('hght') || sections.has('TREE'), 'MALFORMED', 'section hght: only together with TREE');
  return sections;
}
