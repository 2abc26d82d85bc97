// Exports of an annotation. service/superpixel_service/client/exports.py writes the same bytes, function by function.

import { grow } from './boxes.js';
import { check } from './errors.js';
import { findPieces, joinRings, traceRings } from './outlines.js';
import { crc32 } from './inflate.js';

/** @typedef {import('./annotation.js').Annotation} Annotation */

/**
 * An 8-bit indexed PNG. The pixel value is the class, 0 for no class; the palette holds the colours of the classes.
 *
 * @param {Annotation} annotation
 * @returns {Promise<Uint8Array>} the file; rejects with `INVALID_ARGUMENT` if a colour is not `#rrggbb`
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
 * A chunk of a PNG file.
 *
 * @param {string} type
 * @param {Uint8Array} data
 */
export function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

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
  const box = pieces[0].box.slice();
  for (const piece of pieces) grow(box, 0, ...piece.box);
  return box;
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

/**
 * Results of a Label Studio annotation or prediction: one brush mask per class.
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
 * Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.
 *
 * @param {Uint8Array} mask
 * @param {number} value the class
 * @returns {number[]} bytes
 */
function brushRLE(mask, value) {
  /** @type {number[]} */
  const bytes = [];
  let byte = 0;
  let bits = 0;
  /** @type {(number: number, size: number) => void} */
  const write = (number, size) => {
    for (let bit = size - 1; bit >= 0; bit--) {
      byte = (byte << 1) | ((number >>> bit) & 1);
      if (++bits < 8) continue;
      bytes.push(byte);
      byte = bits = 0;
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
  write(0, 8 - bits); // at a byte boundary this adds a zero byte, as label-studio-sdk does
  return bytes;
}

/**
 * GeoJSON: a MultiPolygon with holes per class, along pixel edges. (0, 0) is the image's top left corner, y points down.
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
 * YOLO segmentation labels: a line per 4-connected piece. It holds the class, counted from 0, and the piece's outline through
 * the centres of its outermost pixels, as fractions of width and height. A reader that also fills the outline's own pixels
 * gets exactly the same pixels; Ultralytics does so with cv2.fillPoly.
 *
 * @param {Annotation} annotation
 * @returns {string} the text file
 */
export function toYOLO(annotation) {
  const { width, height } = annotation;
  const found = findPieces(annotation);
  return joinRings(found, true)
    .map((ring, i) => {
      // A YOLO polygon needs three points.
      while (ring.length < 6) ring.push(...ring.slice(-2));
      const shares = ring.map((value, at) => share(value, at % 2 ? height : width));
      return `${found.pieces[i].value - 1} ${shares.join(' ')}\n`;
    })
    .join('');
}

/**
 * @param {number} halfPixels
 * @param {number} size pixels
 * @returns {string} halfPixels / (2 * size) to six decimal places, rounded half up
 */
function share(halfPixels, size) {
  const millionths = Math.floor((halfPixels * 1e6 + size) / (2 * size));
  return `${Math.floor(millionths / 1e6)}.${String(millionths % 1e6).padStart(6, '0')}`;
}
