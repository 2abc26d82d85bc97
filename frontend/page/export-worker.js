// Makes the files of the export menu outside the page's thread, so that the page stays responsive.

import { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toYOLO } from '../src/exports/index.js';

/** @typedef {import('../src/annotation.js').Annotation} Annotation */

const json = (/** @type {unknown} */ value) => JSON.stringify(value);

/** @type {Record<string, (annotation: Annotation, fileName: string) => Promise<Uint8Array> | string>} */
const makers = {
  png: (annotation) => toIndexedPNG(annotation),
  coco: (annotation, fileName) => json(toCOCO(annotation, { fileName })),
  'coco-rle': (annotation, fileName) => json(toCOCO(annotation, { fileName, rle: true })),
  'label-studio': (annotation, fileName) =>
    json([{ data: { image: fileName }, annotations: [{ result: toLabelStudio(annotation) }] }]),
  geojson: (annotation) => json(toGeoJSON(annotation)),
  yolo: (annotation) => toYOLO(annotation),
};

/** @param {MessageEvent<{ format: string, annotation: Annotation, fileName: string }>} event */
self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ file: await makers[data.format](data.annotation, data.fileName) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
