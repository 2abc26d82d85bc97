// Makes the files of the export menu outside the page's thread, so that the page stays responsive.

import { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toSVG, toYOLO } from '../src/exports/index.js';

/** @typedef {import('../src/annotation.js').Annotation} Annotation */

const json = (/** @type {unknown} */ value) => JSON.stringify(value);

/** @type {Record<string, (annotation: Annotation, fileName: string, simplify: number) => Promise<Uint8Array> | string>} */
const makers = {
  png: (annotation) => toIndexedPNG(annotation),
  coco: (annotation, fileName, simplify) => json(toCOCO(annotation, { fileName, simplify })),
  'coco-rle': (annotation, fileName) => json(toCOCO(annotation, { fileName, rle: true })),
  'label-studio': (annotation, fileName) =>
    json([{ data: { image: fileName }, annotations: [{ result: toLabelStudio(annotation) }] }]),
  geojson: (annotation, _, simplify) => json(toGeoJSON(annotation, { simplify })),
  yolo: (annotation, _, simplify) => toYOLO(annotation, { simplify }),
  svg: (annotation, _, simplify) => toSVG(annotation, { simplify }),
};

/** @param {MessageEvent<{ format: string, annotation: Annotation, fileName: string, simplify: number }>} event */
self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ file: await makers[data.format](data.annotation, data.fileName, data.simplify) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
