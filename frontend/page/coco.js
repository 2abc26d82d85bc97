// Reads COCO and SAM files: masks as polygons or run lengths, in JSON.

import { polygon } from '../src/shapes.js';
import { MAX_PIXELS, unreadable } from './mask-file.js';

/**
 * The masks of one image.
 *
 * @typedef {object} Masks
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint32Array} labels height * width: 1 + the index of the mask; where masks overlap, of the last one; else 0
 * @property {(string | null)[]} categories name of each mask's category; null: the file has none
 */

/**
 * @param {string} text of the file
 * @param {{ name: string, width: number, height: number }} image the open photograph
 * @returns {Masks}
 */
export function readMasks(text, image) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw unreadable('It is not valid JSON.');
  }
  const all = Array.isArray(content) ? content : content?.annotations;
  if (!Array.isArray(all)) {
    throw unreadable('The JSON must be a list of masks, or an object with `annotations`, as COCO has.');
  }
  const listed = Array.isArray(content?.images) ? content.images : [];
  const own = chooseImage(listed, image);
  const annotations = own ? all.filter((one) => one?.image_id === own.id) : all;
  const names = new Map();
  for (const one of Array.isArray(content?.categories) ? content.categories : []) {
    if (typeof one?.name === 'string') names.set(one.id, one.name);
  }
  const sizes = annotations.map((one) => one?.segmentation?.size).filter(Array.isArray);
  const [height, width] = [own?.height, own?.width].every(Boolean)
    ? [own.height, own.width]
    : (sizes[0] ?? [image.height, image.width]);
  if (!(Number.isInteger(width) && Number.isInteger(height) && width >= 1 && height >= 1)) {
    throw unreadable('The size of the image must be whole numbers.');
  }
  if (width * height > MAX_PIXELS) throw unreadable(`${width} × ${height} pixels are too many.`);
  const labels = new Uint32Array(width * height);
  annotations.forEach((one, i) => draw(labels, width, height, one?.segmentation, i));
  const categories = annotations.map((one) => {
    if (one.category_id === undefined) return null;
    return names.get(one.category_id) ?? `Category ${one.category_id}`;
  });
  return { width, height, labels, categories };
}

/**
 * @param {any[]} listed images of the file
 * @param {{ name: string, width: number, height: number }} image
 * @returns {any} the image of that name, else the only one, else the only one of that size; null: the file lists none
 */
function chooseImage(listed, { name, width, height }) {
  const named = listed.filter((one) => String(one?.file_name).split(/[/\\]/).pop() === name);
  const sized = listed.filter((one) => one?.width === width && one.height === height);
  const found = [named, listed, sized].find((some) => some.length === 1)?.[0] ?? named[0];
  if (listed.length && !found) {
    throw unreadable(`It has masks of ${listed.length} images, and none of them is ${name}.`);
  }
  return found ?? null;
}

/**
 * @param {Uint32Array} labels
 * @param {number} width
 * @param {number} height
 * @param {any} mask polygons or run lengths; untrusted
 * @param {number} i its index
 */
function draw(labels, width, height, mask, i) {
  if (Array.isArray(mask)) {
    for (const flat of mask) {
      if (!Array.isArray(flat) || flat.length < 6 || flat.length % 2 || !flat.every(Number.isFinite)) {
        throw unreadable(`Mask ${i}: a polygon must be three or more pairs of numbers.`);
      }
      /** @type {[number, number][]} */
      const points = [];
      for (let at = 0; at < flat.length; at += 2) points.push([flat[at], flat[at + 1]]);
      const runs = polygon(points, width, height);
      for (let at = 0; at < runs.length; at += 2) labels.fill(i + 1, runs[at], runs[at] + runs[at + 1]);
    }
    return;
  }
  const { size, counts } = mask ?? {};
  const lengths = typeof counts === 'string' ? lengthsOf(counts) : counts;
  if (!Array.isArray(size) || size[0] !== height || size[1] !== width) {
    throw unreadable(`Mask ${i}: must have the size ${height}, ${width} (height, width), as the image.`);
  }
  let at = 0;
  let inside = false;
  for (const length of Array.isArray(lengths) ? lengths : []) {
    if (!(Number.isInteger(length) && length >= 0 && at + length <= labels.length)) {
      throw unreadable(`Mask ${i}: its run lengths are damaged.`);
    }
    if (inside) {
      for (let pixel = at; pixel < at + length; pixel++) {
        labels[(pixel % height) * width + Math.floor(pixel / height)] = i + 1;
      }
    }
    at += length;
    inside = !inside;
  }
  if (at !== labels.length) throw unreadable(`Mask ${i}: its run lengths do not cover the image.`);
}

/**
 * COCO's run lengths from text: five bits per character, lowest first; differences to the run before the last.
 *
 * @param {string} text
 * @returns {number[]}
 */
function lengthsOf(text) {
  /** @type {number[]} */
  const lengths = [];
  for (let at = 0; at < text.length;) {
    let value = 0;
    let shift = 0;
    let byte = 32;
    while (byte & 32) {
      byte = text.charCodeAt(at++) - 48;
      if (!(byte >= 0 && byte < 64) || shift > 30) return [];
      value += (byte & 31) * 2 ** shift;
      shift += 5;
    }
    if (byte & 16) value -= 2 ** shift;
    lengths.push(value + (lengths.length > 2 ? lengths[lengths.length - 2] : 0));
  }
  return lengths;
}
