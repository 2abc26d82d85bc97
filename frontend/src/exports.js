// What is chosen, in the formats that others read. service/superpixel_service/client/exports.py makes the same of the same.

import { check } from './errors.js';
import { findPieces, joinRings, traceRings } from './outlines.js';
import { crc32 } from './inflate.js';

/** @typedef {import('./selection.js').Annotation} Annotation */

/**
 * An indexed PNG of 8 bits: each pixel's value is its class, 0 for nothing; the palette has the classes' colours.
 *
 * @param {Annotation} annotation
 * @returns {Promise<Uint8Array>}
 */
export async function toIndexedPNG({ mask, width, height, classes }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, 3], 8);
  const palette = [0, 0, 0, ...classes.flatMap(({ color }) => bytesOf(color))];
  const deflated = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate')));
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    chunk('PLTE', Uint8Array.from(palette)),
    chunk('IDAT', new Uint8Array(await deflated.arrayBuffer())),
    chunk('IEND', new Uint8Array(0)),
  ];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** @param {string} color */
function bytesOf(color) {
  check(/^#[0-9a-f]{6}$/i.test(color), 'INVALID_ARGUMENT', `color: must be #rrggbb, got ${color}`);
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/**
 * @param {string} type
 * @param {Uint8Array} data
 */
function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/**
 * A COCO data set of one image. Polygons are corners of pixels, and exact under pycocotools; a hole is joined to its outer
 * ring by a bridge of no width, for COCO has no holes.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fileName]
 * @param {number} [options.imageId]
 * @param {boolean} [options.rle] masks as compressed run lengths instead of polygons
 * @param {boolean} [options.split] an annotation for each connected piece (the default), or one for each class
 */
export function toCOCO(annotation, { fileName = 'image', imageId = 1, rle = false, split = true } = {}) {
  const { mask, width, height, classes } = annotation;
  const found = findPieces(annotation);
  const polygons = rle ? [] : joinRings(found, false).map((ring) => ring.map((value) => value / 2));
  const groups = split ? found.pieces.map((piece) => [piece]) : byClass(found.pieces);
  const annotations = groups.map((pieces, i) => {
    const { id, value } = pieces[0];
    const box = boxAround(pieces);
    /** @type {(x: number, y: number) => boolean} */
    const inside = split
      ? (x, y) => found.ids[(y + 1) * found.stride + x + 1] === id
      : (x, y) => mask[y * width + x] === value;
    return {
      id: i + 1,
      image_id: imageId,
      category_id: value,
      segmentation: rle
        ? { size: [height, width], counts: compressed(columnRuns(inside, box, width, height)) }
        : pieces.map((piece) => polygons[piece.id - 1]),
      area: pieces.reduce((sum, piece) => sum + piece.area, 0),
      bbox: [box[0], box[1], box[2] - box[0], box[3] - box[1]],
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
 * @param {import('./outlines.js').Piece[]} pieces
 * @returns {import('./outlines.js').Piece[][]}
 */
function byClass(pieces) {
  /** @type {import('./outlines.js').Piece[][]} */
  const groups = [];
  for (const piece of pieces) (groups[piece.value] ??= []).push(piece);
  return groups.filter(Boolean);
}

/** @param {import('./outlines.js').Piece[]} pieces */
function boxAround(pieces) {
  const [x0, y0, x1, y1] = [0, 1, 2, 3].map((side) => pieces.map(({ box }) => box[side]));
  /** @type {(values: number[]) => number} */
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  /** @type {(values: number[]) => number} */
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  return [least(x0), least(y0), most(x1), most(y1)];
}

/**
 * COCO's runs: down the columns from the left, outside and inside by turns.
 *
 * @param {(x: number, y: number) => boolean} inside
 * @param {number[]} box outside of which nothing is inside
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
      if (y === height && x + 1 < x1 && inside(x + 1, 0)) continue; // goes on at the top of the next column
      runs.push(x * height + y - from);
      from = x * height + y;
      now = next;
    }
  }
  if (from < width * height) runs.push(width * height - from);
  return runs;
}

/**
 * COCO's run lengths as text: differences to the run before the last, five bits a character, lowest first.
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

/**
 * Results of a Label Studio annotation or prediction: one brush mask for each class.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fromName] name of the BrushLabels tag
 * @param {string} [options.toName] name of the Image tag
 */
export function toLabelStudio({ mask, width, height, classes }, { fromName = 'tag', toName = 'image' } = {}) {
  const used = new Set(mask);
  return classes.flatMap(({ name }, i) => {
    if (!used.has(i + 1)) return [];
    return [
      {
        id: `class-${i + 1}`,
        type: 'brushlabels',
        from_name: fromName,
        to_name: toName,
        original_width: width,
        original_height: height,
        image_rotation: 0,
        value: { format: 'rle', rle: brushRLE(mask, i + 1), brushlabels: [name] },
      },
    ];
  });
}

/**
 * Label Studio's run lengths (of thi.ng/rle-pack), of a picture of four equal channels, 255 inside.
 *
 * @param {Uint8Array} mask
 * @param {number} value
 * @returns {number[]} bytes
 */
function brushRLE(mask, value) {
  /** @type {number[]} */
  const bytes = [];
  let held = 0;
  let bits = 0;
  /** @type {(number: number, size: number) => void} */
  const write = (number, size) => {
    for (let bit = size - 1; bit >= 0; bit--) {
      held = (held << 1) | ((number >>> bit) & 1);
      if (++bits < 8) continue;
      bytes.push(held);
      held = bits = 0;
    }
  };
  write(4 * mask.length, 32);
  write(7, 5); // words of 8 bits
  const sizes = [3, 4, 8, 16]; // bits of a run's length
  for (const size of sizes) write(size - 1, 4);
  for (let at = 0; at < mask.length;) {
    const start = at;
    const inside = mask[at] === value;
    while (at < mask.length && (mask[at] === value) === inside) at++;
    for (let left = 4 * (at - start); left > 0;) {
      const length = Math.min(left, 2 ** 16);
      const size = sizes.findIndex((wide) => length <= 2 ** wide);
      write(1, 1);
      write(size, 2);
      write(length - 1, sizes[size]);
      write(inside ? 255 : 0, 8);
      left -= length;
    }
  }
  write(0, 8 - bits); // a whole byte of zeros where nothing is left to fill: label-studio-sdk writes the same bytes
  return bytes;
}

/**
 * GeoJSON: for each class its polygons with holes, along pixel edges; (0, 0) is the image's top left corner, y goes down.
 *
 * @param {Annotation} annotation
 */
export function toGeoJSON(annotation) {
  const found = findPieces(annotation);
  const rings = traceRings(found, true);
  return {
    type: 'FeatureCollection',
    features: byClass(found.pieces).map((pieces) => {
      const { value } = pieces[0];
      const { name, color } = annotation.classes[value - 1];
      const area = pieces.reduce((sum, piece) => sum + piece.area, 0);
      return {
        type: 'Feature',
        id: value,
        properties: { class: name, color, area },
        geometry: {
          type: 'MultiPolygon',
          coordinates: pieces.map((piece) => rings[piece.id - 1].map(closedRing)),
        },
      };
    }),
  };
}

/** @param {number[]} ring */
function closedRing(ring) {
  const points = [];
  for (let i = 0; i <= ring.length; i += 2) points.push([ring[i % ring.length], ring[(i + 1) % ring.length]]);
  return points;
}

/**
 * Labels for YOLO segmentation: a line for each connected piece, its class counted from 0 and its outline through the
 * centres of its outermost pixels, as shares of width and height. Exact where a polygon's own pixels are drawn with it, as
 * cv2.fillPoly does in Ultralytics.
 *
 * @param {Annotation} annotation
 * @returns {string}
 */
export function toYOLO(annotation) {
  const { width, height } = annotation;
  const found = findPieces(annotation);
  return joinRings(found, true)
    .map((ring, i) => {
      // A line needs three points.
      while (ring.length < 6) ring.push(...ring.slice(-2));
      const shares = ring.map((value, at) => share(value, at % 2 ? height : width));
      return `${found.pieces[i].value - 1} ${shares.join(' ')}\n`;
    })
    .join('');
}

/**
 * @param {number} halfPixels
 * @param {number} size pixels
 * @returns {string} halfPixels / (2 * size) to six places, rounded half up
 */
function share(halfPixels, size) {
  const millionths = Math.floor((halfPixels * 1e6 + size) / (2 * size));
  return `${Math.floor(millionths / 1e6)}.${String(millionths % 1e6).padStart(6, '0')}`;
}
