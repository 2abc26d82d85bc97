import { writePNG } from './png.js';
import { findGroups, valuesOf } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * A 16-bit gray PNG: 0 for no class, 1 to 254 for a class without an object, 256 + the index of the object.
 *
 * @param {Annotation} annotation
 * @returns {Promise<Uint8Array>} the file
 */
export function toInstancePNG(annotation) {
  const { width, height } = annotation;
  const values = valuesOf(annotation);
  const bytes = new Uint8Array(2 * values.length);
  values.forEach((value, i) => {
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 255;
  });
  return writePNG({ width, height, depth: 16, kind: 0, bytes });
}

/**
 * What the values of `toInstancePNG` mean.
 *
 * @param {Annotation} annotation
 */
export function toInstanceLegend(annotation) {
  const { classes, objects = [] } = annotation;
  const areas = new Map(findGroups(annotation, false).groups.map(({ value, area }) => [value, area]));
  return {
    classes: classes.map((one, i) => ({ value: i + 1, ...one, area: areas.get(i + 1) ?? 0 })),
    objects: objects.map((one, i) => ({ value: 256 + i, ...one, area: areas.get(256 + i) ?? 0 })),
  };
}
