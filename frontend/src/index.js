/** Label maps of nested superpixels: read, cut, draw, select, export. README.md shows an example of each. */

export { decode } from './decode.js';
export { SuperpixelMapError } from './errors.js';
export { Level, LabelMap } from './map.js';
export { Boundaries } from './boundaries.js';
export { MAX_CLASSES } from './annotation.js';
export { PARTLY, Selection } from './selection.js';
export { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toYOLO } from './exports.js';
