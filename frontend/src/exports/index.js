/** Exports of an annotation. superpixel_service.client.exports writes the same bytes, file by file. */

export { toCOCO } from './coco.js';
export { toGeoJSON } from './geojson.js';
export { toLabelStudio } from './label-studio.js';
export { toIndexedPNG } from './png.js';
export { toYOLO } from './yolo.js';
