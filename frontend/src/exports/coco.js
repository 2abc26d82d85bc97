import { findPieces } from '../pieces.js';
import { joinRings } from './outlines.js';
import { boxAround, byClass } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * A COCO data set of one image. Polygon points are pixel corners, and pycocotools reads exactly the same pixels. COCO has no
 * holes: a bridge of width 0 joins each hole to its outer ring.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fileName] of the image
 * @param {number} [options.imageId] of the image
 * @param {boolean} [options.rle] true: masks as compressed run lengths; false (default): polygons
 * @param {boolean} [options.split] true (default): an annotation per 4-connected piece; false: one per class
 */
export function toCOCO(annotation, { fileName = 'image', imageId = 1, rle = false, split = true } = {}) {
  const { mask, width, height, classes } = annotation;
  const found = findPieces(annotation);
  const polygons = rle ? [] : joinRings(found, false).map((ring) => ring.map((value) => value / 2));
  const groups = split ? found.pieces.map((piece) => [piece]) : byClass(found.pieces);
  const annotations = groups.map((pieces, i) => {
    const { id, value } = pieces[0];
    const [x0, y0, x1, y1] = boxAround(pieces);
    /** @type {(x: number, y: number) => boolean} */
    const inside = split
      ? (x, y) => found.ids[(y + 1) * found.stride + x + 1] === id
      : (x, y) => mask[y * width + x] === value;
    return {
      id: i + 1,
      image_id: imageId,
      category_id: value,
      segmentation: rle
        ? { size: [height, width], counts: compressed(columnRuns(inside, [x0, y0, x1, y1], width, height)) }
        : pieces.map((piece) => polygons[piece.id - 1]),
      area: pieces.reduce((sum, piece) => sum + piece.area, 0),
      bbox: [x0, y0, x1 - x0, y1 - y0],
      iscrowd: 0,
    };
  });
  return {
    images: [{ id: imageId, file_name: fileName, width, height }],
    categories: classes.map(({ name }, i) => ({ id: i + 1, name })),
    annotations,
  };
}

/**
 * COCO's run lengths: column by column from the left, alternately outside and inside.
 *
 * @param {(x: number, y: number) => boolean} inside
 * @param {number[]} box contains all pixels inside
 * @param {number} width
 * @param {number} height
 */
function columnRuns(inside, [x0, y0, x1, y1], width, height) {
  const runs = [];
  let from = 0;
  let now = false;
  for (let x = x0; x < x1; x++) {
    for (let y = y0; y <= y1; y++) {
      const next = y < y1 && inside(x, y);
      if (next === now) continue;
      if (y === height && x + 1 < x1 && inside(x + 1, 0)) continue; // the run continues at the top of the next column
      runs.push(x * height + y - from);
      from = x * height + y;
      now = next;
    }
  }
  if (from < width * height) runs.push(width * height - from);
  return runs;
}

/**
 * COCO's run lengths as text: differences to the run before the last, five bits per character, lowest bits first.
 *
 * @param {number[]} runs
 */
function compressed(runs) {
  const characters = [];
  for (let i = 0; i < runs.length; i++) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more;) {
      const bits = value & 31;
      value >>= 5;
      more = value !== (bits & 16 ? -1 : 0);
      characters.push(String.fromCharCode(48 + bits + (more ? 32 : 0)));
    }
  }
  return characters.join('');
}
