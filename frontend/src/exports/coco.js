import { FIRST_OBJECT } from '../annotation.js';
import { check } from '../errors.js';
import { categoryIds } from './pieces.js';
import { findShapes } from './shapes.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/** What COCO's readers expect at the top of a file. */
export const COCO_HEAD = { info: { description: '', version: '1.0' }, licenses: [] };

/** Why `simplify` and `rle` exclude each other. */
export const RLE_IS_EXACT = 'simplify: run lengths are exact; leave it out with rle';

/**
 * A COCO data set of one image: an annotation per object, also of several pieces. Polygon points are pixel corners, and
 * pycocotools reads exactly the same pixels. COCO has no holes: a bridge of width 0 joins each hole to its outer ring.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fileName] of the image
 * @param {number} [options.imageId] of the image
 * @param {boolean} [options.rle] true: masks as compressed run lengths; false (default): polygons
 * @param {boolean} [options.split] pixels without an object: true (default): an annotation per 4-connected piece; false: one
 *   per class
 * @param {number} [options.simplify] pixels by which the borders of polygons may move, the same for both neighbours; 0
 *   (default): none moves. Areas and boxes are those of the polygons
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `simplify` is not a number from 0 on, is given with `rle`, or
 *   `loadSimplify` was not awaited
 */
export function toCOCO(
  annotation,
  { fileName = 'image', imageId = 1, rle = false, split = true, simplify = 0 } = {},
) {
  check(!rle || simplify === 0, 'INVALID_ARGUMENT', RLE_IS_EXACT);
  const { width, height, classes } = annotation;
  const { found, groups, joined } = findShapes(annotation, split, simplify);
  const ids = categoryIds(classes);
  const polygons = rle ? [] : joined(false).map((ring) => ring.map((value) => value / 2));
  const edges = rle ? columnEdges(found, groups, width, height) : [];
  const annotations = groups.map(
    ({ value: own, class: value, name, pieces, area, box: [x0, y0, x1, y1] }, i) => ({
      id: i + 1,
      image_id: imageId,
      category_id: ids[value - 1],
      segmentation: rle
        ? { size: [height, width], counts: compressed(differences(edges[i], width * height)) }
        : pieces.map((piece) => polygons[piece.id - 1]),
      area,
      bbox: [x0, y0, x1 - x0, y1 - y0],
      iscrowd: 0,
      ...(name && { attributes: { name } }),
      // Readers ignore it. Imports do not make an object of it.
      ...(own < FIRST_OBJECT && { isthing: 0 }),
    }),
  );
  return {
    ...structuredClone(COCO_HEAD),
    images: [{ id: imageId, file_name: fileName, width, height }],
    categories: classes.map(({ name }, i) => ({ id: ids[i], name })),
    annotations,
  };
}

/**
 * Where each group begins and ends, column by column from the left: in one pass over the picture.
 *
 * @param {import('../pieces.js').Pieces} found
 * @param {import('./pieces.js').Group[]} groups
 * @param {number} width
 * @param {number} height
 * @returns {number[][]} of each group: start, end, start, end, ...
 */
function columnEdges({ ids, stride, pieces }, groups, width, height) {
  const groupOf = new Int32Array(pieces.length + 1).fill(-1);
  groups.forEach((group, i) => group.pieces.forEach(({ id }) => (groupOf[id] = i)));
  /** @type {number[][]} */
  const edges = groups.map(() => []);
  let before = -1;
  for (let x = 0, at = 0; x < width; x++) {
    for (let y = 0; y < height; y++, at++) {
      const group = groupOf[ids[(y + 1) * stride + x + 1]];
      if (group === before) continue;
      if (before >= 0) edges[before].push(at);
      if (group >= 0) edges[group].push(at);
      before = group;
    }
  }
  if (before >= 0) edges[before].push(width * height);
  return edges;
}

/**
 * @param {number[]} edges
 * @param {number} size of the picture
 * @returns {number[]} COCO's run lengths, alternately outside and inside
 */
function differences(edges, size) {
  const ends = edges[edges.length - 1] < size ? [...edges, size] : edges;
  return ends.map((end, i) => end - (i ? ends[i - 1] : 0));
}

/**
 * COCO's run lengths as text: differences to the run before the last, five bits per character, lowest bits first.
 *
 * @param {number[]} runs
 */
function compressed(runs) {
  let text = '';
  for (let i = 0; i < runs.length; i++) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more;) {
      const bits = value & 31;
      value >>= 5;
      more = value !== (bits & 16 ? -1 : 0);
      text += String.fromCharCode(48 + bits + (more ? 32 : 0));
    }
  }
  return text;
}
