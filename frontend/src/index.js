/** Label maps of nested superpixels: read, cut, draw, select. README.md shows an example of each. */

export { decode } from './decode.js';
export { SuperpixelMapError } from './errors.js';
export { Level, LabelMap } from './map.js';
export { Boundaries } from './boundaries.js';
export { FIRST_OBJECT, MAX_CLASSES, MAX_OBJECTS } from './annotation.js';
export { PARTLY, Selection } from './selection.js';
