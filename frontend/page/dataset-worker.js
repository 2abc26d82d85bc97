// Makes the files of a data set outside the page's thread, image by image.

import { Dataset, Schema } from '../src/dataset/index.js';
import { decode, Selection } from '../src/index.js';

/** @typedef {import('../src/annotation.js').Class} Class */

/** @type {Dataset} */
let made;

/**
 * `begin` with a format and the classes, `add` for each image, `finish`: each is answered by files.
 *
 * @param {MessageEvent<any>} event
 */
self.onmessage = async ({ data }) => {
  try {
    if (data.type === 'begin') begin(data);
    const files = data.type === 'add' ? await add(data) : data.type === 'finish' ? made.finish() : [];
    self.postMessage({ files });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
};

/** @param {{ format: string, classes: Class[], simplify: number }} set simplify: pixels by which borders of polygons may move */
function begin({ format, classes, simplify }) {
  const schema = new Schema(classes, { idsDecide: true });
  const written = /** @type {import('../src/dataset/dataset.js').Format} */ (format.replace('-rle', ''));
  const rle = format === 'coco-rle';
  made = new Dataset({ schema, formats: [written], rle, simplify: rle ? 0 : simplify });
}

/**
 * @param {object} image
 * @param {string} image.name
 * @param {Blob} image.blob
 * @param {ArrayBuffer} image.spx
 * @param {import('../src/selection.js').SerialisedSelection} image.selection
 * @param {Class[]} image.classes with the ids of the set
 */
async function add({ name, blob, spx, selection, classes }) {
  const annotation = Selection.restore(await decode(spx), selection).annotation();
  const files = await made.add(name, { ...annotation, classes }, { image: blob });
  const isThere = files.some(({ data }) => data instanceof Blob); // YOLO has its own place for images
  return isThere ? files : [...files, { path: `images/${name}`, data: blob }];
}
