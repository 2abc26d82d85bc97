import { FIRST_OBJECT } from '../annotation.js';
import { valuesOf } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * Results of a Label Studio annotation or prediction: one brush mask per object, and one per class of its pixels without an
 * object. The name of an object is the text of its region.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {string} [options.fromName] name of the BrushLabels tag
 * @param {string} [options.toName] name of the Image tag
 */
export function toLabelStudio(annotation, { fromName = 'tag', toName = 'image' } = {}) {
  const { width, height, classes, objects = [] } = annotation;
  const edges = edgesByValue(valuesOf(annotation));
  /** @type {(value: number, id: string, label: number, name: string) => object[]} */
  const result = (value, id, label, name) => {
    if (!edges[value]) return [];
    return [
      {
        id,
        type: 'brushlabels',
        from_name: fromName,
        to_name: toName,
        original_width: width,
        original_height: height,
        image_rotation: 0,
        value: {
          format: 'rle',
          rle: brushRLE(edges[value], width * height),
          brushlabels: [classes[label - 1].name],
        },
        ...(name && { meta: { text: [name] } }),
      },
    ];
  };
  return [
    ...objects.flatMap((one, i) => result(FIRST_OBJECT + i, `object-${i + 1}`, one.class, one.name)),
    ...classes.flatMap((_, i) => result(i + 1, `class-${i + 1}`, i + 1, '')),
  ];
}

/**
 * Where each value begins and ends, row by row.
 *
 * @param {Uint8Array | Uint16Array} values
 * @returns {number[][]} by value: start, end, start, end, ...
 */
function edgesByValue(values) {
  /** @type {number[][]} */
  const edges = [];
  for (let at = 0; at < values.length;) {
    const start = at;
    const value = values[at];
    while (at < values.length && values[at] === value) at++;
    (edges[value] ??= []).push(start, at);
  }
  return edges;
}

/**
 * Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.
 *
 * @param {number[]} edges start and end of each run inside
 * @param {number} pixels of the picture
 * @returns {number[]} bytes
 */
function brushRLE(edges, pixels) {
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
  write(4 * pixels, 32);
  write(7, 5); // words of 8 bits
  const sizes = [3, 4, 8, 16]; // bits of a run's length
  for (const size of sizes) write(size - 1, 4);
  const ends = [...edges, pixels];
  ends.forEach((end, i) => {
    for (let left = 4 * (end - (i ? ends[i - 1] : 0)); left > 0;) {
      const length = Math.min(left, 2 ** 16);
      const size = sizes.findIndex((wide) => length <= 2 ** wide);
      write(1, 1);
      write(size, 2);
      write(length - 1, sizes[size]);
      write(i % 2 ? 255 : 0, 8);
      left -= length;
    }
  });
  write(0, 8 - bits); // at a byte boundary this adds a zero byte, as label-studio-sdk does
  return bytes;
}
