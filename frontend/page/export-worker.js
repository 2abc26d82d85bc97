// Makes the files of the export menu outside the page's thread, so that the page stays responsive.

import * as exports from '../src/exports/index.js';

/** @typedef {import('../src/annotation.js').Annotation} Annotation */

const json = (/** @type {unknown} */ value) => JSON.stringify(value);

/** @type {Record<string, (annotation: Annotation, fileName: string, simplify: number) => Promise<Uint8Array> | string>} */
const makers = {
  png: (annotation) => exports.toIndexedPNG(annotation),
  coco: (annotation, fileName, simplify) => json(exports.toCOCO(annotation, { fileName, simplify })),
  'coco-rle': (annotation, fileName) => json(exports.toCOCO(annotation, { fileName, rle: true })),
  'label-studio': (annotation, fileName) =>
    json([{ data: { image: fileName }, annotations: [{ result: exports.toLabelStudio(annotation) }] }]),
  geojson: (annotation, _, simplify) => json(exports.toGeoJSON(annotation, { simplify })),
  svg: (annotation, _, simplify) => exports.toSVG(annotation, { simplify }),
  instances: (annotation) => exports.toInstancePNG(annotation),
  legend: (annotation) => json(exports.toInstanceLegend(annotation)),
  'panoptic-png': (annotation) => exports.toPanopticPNG(annotation),
  panoptic: (annotation, fileName) =>
    json(
      exports.toPanopticJSON(annotation, {
        fileName,
        maskName: fileName.replace(/(\.[^.]*)?$/, '-panoptic.png'),
      }),
    ),
  yolo: (annotation, _, simplify) => exports.toYOLO(annotation, { simplify }),
};

/** @param {MessageEvent<{ format: string, annotation: Annotation, fileName: string, simplify: number }>} event */
self.onmessage = async ({ data }) => {
  try {
    if (data.simplify) await exports.loadSimplify();
    self.postMessage({ file: await makers[data.format](data.annotation, data.fileName, data.simplify) });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
