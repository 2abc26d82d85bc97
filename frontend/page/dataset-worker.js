// Makes the files of a data set outside the page's thread, image by image.

import { decode, Selection } from '../src/index.js';
import { DataSet } from './dataset.js';

/** @type {DataSet} */
let made;

/**
 * `begin` with format and classes, `add` for each image, `finish`: each is answered by files.
 *
 * @param {MessageEvent<any>} event
 */
self.onmessage = async ({ data }) => {
  try {
    if (data.type === 'begin') made = new DataSet(data.format, data.classes);
    const files = data.type === 'add' ? await add(data) : data.type === 'finish' ? made.finish() : [];
    self.postMessage({ files });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};

/** @param {{ name: string, spx: ArrayBuffer, selection: import('../src/selection.js').SerialisedSelection, classes: any[] }} image */
async function add({ name, spx, selection, classes }) {
  const annotation = Selection.restore(await decode(spx), selection).annotation();
  return made.add({ ...annotation, classes }, name);
}
