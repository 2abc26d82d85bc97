/** Annotations from the files of other tools: read, scale, and put into a selection. */

import { decode } from '../decode.js';
import { nearest } from '../nearest.js';
import { Selection } from '../selection.js';
import { readCOCO, readPanoptic } from './coco.js';
import { fail, shown } from './checks.js';
import { isLabelStudio, readLabelStudio } from './label-studio.js';
import { isLegend, readInstances, readMask } from './masks.js';
import { readPNG } from '../png/index.js';
import { isYOLO, readGeoJSON, readYOLO } from './polygon-files.js';

export { importAnnotation } from './apply.js';
export { MAX_PIXELS } from './checks.js';
export { colorOf } from './colors.js';
export { maskBy, meaningOf, readMask } from './masks.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */
/** @typedef {import('../annotation.js').Class} Class */

/**
 * What to read.
 *
 * @typedef {object} Options
 * @property {string} [name] of the image's file: finds it in a file of many images
 * @property {number} [width] of the image, in pixels: needed for files that do not say it
 * @property {number} [height] of the image, in pixels
 * @property {readonly Class[]} [classes] of the caller: classes of the file with the same name get the same colour; they name
 *   the classes of files that only have numbers (PNG, YOLO)
 * @property {Class} [unnamed] class of masks that have none. Default: `Object`
 * @property {boolean} [objects] false: classes alone
 *
 * @typedef {Options & { classes: readonly Class[], unnamed: Class, objects: boolean }} Wanted
 */

/**
 * A file with its name.
 *
 * @typedef {object} NamedFile
 * @property {string} name
 * @property {Blob | Uint8Array | string} data
 */

/** @typedef {Blob | Uint8Array | string | NamedFile} File a Blob, its bytes, or its text */

/**
 * Read the annotation of one image. The content decides what the file is: a mask or an instance mask (PNG; its legend goes with
 * it), COCO instances or panoptic segmentation (its PNG file goes with it), a list of masks as SAM writes it, Label Studio's
 * tasks or results, GeoJSON, YOLO's labels, or a stored selection (its label map goes with it).
 *
 * The image is found by `name`, else it is the only one of the file, else the only one of that size.
 *
 * @param {File | File[]} files one file, or all that belong together
 * @param {Options} [options]
 * @returns {Promise<Annotation>} of the file's size, which may differ from `width` and `height`; rejects with `INVALID_FILE`:
 *   the message names the field and what would be right; or with the errors of `decode` and `Selection.restore`
 */
export async function readAnnotation(files, options = {}) {
  const unnamed = { name: 'Object', color: '#e69f00' };
  const wanted = { classes: [], unnamed, objects: true, ...options };
  const { contents, pictures, texts, map } = await sorted(Array.isArray(files) ? files : [files]);
  if (contents.length > 1 || texts.length > 1 || (!contents.length && pictures.size > 1)) {
    fail('files', 'must be one annotation: one file, or a JSON file with its PNG file');
  }
  if (contents.length) {
    const [content] = contents;
    if (content?.format === 'superpixel-selection') {
      if (!map) fail('selection', 'needs the label map that it was made on, an .spx file, too');
      return Selection.restore(await decode(map), content).annotation();
    }
    if (isLabelStudio(content)) return readLabelStudio(content, wanted);
    if (content?.type === 'FeatureCollection' || content?.type === 'Feature')
      return readGeoJSON(content, wanted);
    if (Array.isArray(content)) return readCOCO(content, wanted);
    if (isLegend(content)) return readInstances(content, [...pictures.values()][0], wanted);
    if (!Array.isArray(content?.annotations)) {
      fail(
        'json',
        'must be a list of masks, COCO (`annotations`), GeoJSON (`features`), or tasks of Label Studio',
      );
    }
    const isPanoptic = content.annotations.some((/** @type {any} */ one) => one?.segments_info);
    return isPanoptic ? readPanoptic(content, pictures, wanted) : readCOCO(content, wanted);
  }
  if (pictures.size) return readMask([...pictures.values()][0], wanted);
  return readYOLO(texts[0] ?? '', wanted);
}

/**
 * @param {File[]} files
 * @returns {Promise<{ contents: any[], pictures: Map<string, import('../png/index.js').Picture>, texts: string[],
 *   map: Uint8Array | undefined }>}
 */
async function sorted(files) {
  /** @type {any[]} */
  const contents = [];
  /** @type {string[]} */
  const texts = [];
  /** @type {Map<string, import('../png/index.js').Picture>} */
  const pictures = new Map();
  /** @type {Uint8Array | undefined} a label map */
  let map;
  for (const file of files) {
    const data = typeof file === 'object' && 'data' in file ? file.data : file;
    const name = typeof file === 'object' && 'name' in file ? String(file.name) : String(pictures.size);
    const bytes = data instanceof Blob ? new Uint8Array(await data.arrayBuffer()) : data;
    if (typeof bytes !== 'string' && bytes[0] === 0x89) {
      pictures.set(name, await readPNG(bytes));
      continue;
    }
    if (typeof bytes !== 'string' && String.fromCharCode(...bytes.subarray(0, 4)) === 'SPXL') {
      map = bytes;
      continue;
    }
    const text = (typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes)).replace(/^\ufeff/, '');
    if (/^\s*[[{]/.test(text)) {
      try {
        contents.push(JSON.parse(text));
      } catch {
        fail('json', 'is not valid JSON');
      }
    } else if (isYOLO(text)) {
      texts.push(text);
    } else {
      fail(
        'file',
        `must be PNG, JSON, or labels of YOLO, got a file that begins with ${shown(text.slice(0, 16))}`,
      );
    }
  }
  return { contents, pictures, texts, map };
}

/**
 * The annotation in another size: the nearest pixel counts, as on the server (docs/algorithm.md).
 *
 * @param {Annotation} annotation
 * @param {number} width pixels
 * @param {number} height pixels
 * @returns {Annotation}
 */
export function scaleAnnotation(annotation, width, height) {
  if (annotation.width === width && annotation.height === height) return annotation;
  const columns = nearest(annotation.width, width);
  const rows = nearest(annotation.height, height);
  /** @template {Uint8Array | Uint16Array} T @param {T} from @param {T} to @returns {T} */
  const scale = (from, to) => {
    for (let y = 0, at = 0; y < height; y++) {
      const row = rows[y] * annotation.width;
      for (let x = 0; x < width; x++, at++) to[at] = from[row + columns[x]];
    }
    return to;
  };
  const { mask, instances } = annotation;
  return {
    ...annotation,
    width,
    height,
    mask: scale(mask, new Uint8Array(width * height)),
    instances: instances ? scale(instances, new Uint16Array(width * height)) : null,
  };
}
