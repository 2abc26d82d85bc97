/** Label maps of nested superpixels: read, cut, drawn, chosen, exported. README.md shows each by example. */

export { decode } from './decode.js';
export { SuperpixelMapError } from './errors.js';
export { Level, LabelMap } from './map.js';
export { Boundaries } from './boundaries.js';
export { MAX_CLASSES, PARTLY, Selection } from './selection.js';
export { toCOCO, toGeoJSON, toIndexedPNG, toLabelStudio, toYOLO } from './exports.js';
