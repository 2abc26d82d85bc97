/** Exports of an annotation. superpixel_service.client.exports writes the same bytes, file by file. */

export { toCOCO } from './coco.js';
export { toGeoJSON } from './geojson.js';
export { toInstanceLegend, toInstancePNG } from './instances.js';
export { toLabelStudio } from './label-studio.js';
export { toPanopticJSON, toPanopticPNG } from './panoptic.js';
export { toIndexedPNG } from './png.js';
export { loadSimplify } from './shapes.js';
export { toSVG } from './svg.js';
export { toYOLO } from './yolo.js';
