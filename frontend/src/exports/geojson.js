import { bytesOf } from './png.js';
import { findShapes } from './shapes.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * GeoJSON: a MultiPolygon with holes per object, and one per class of its pixels without an object, along pixel edges. (0, 0)
 * is the image's top left corner, y points down. QuPath reads name, class and colour.
 *
 * @param {Annotation} annotation
 * @param {object} [options]
 * @param {number} [options.simplify] pixels by which borders may move, the same for both neighbours; 0 (default): none moves
 * @throws {SuperpixelMapError} `INVALID_ARGUMENT`: `simplify` is not a number from 0 on, or `loadSimplify` was not awaited
 */
export function toGeoJSON(annotation, { simplify = 0 } = {}) {
  const shapes = findShapes(annotation, false, simplify);
  const rings = shapes.rings();
  return {
    type: 'FeatureCollection',
    features: shapes.groups.map((group) => {
      const { name, color } = annotation.classes[group.class - 1];
      return {
        type: 'Feature',
        id: group.value,
        properties: {
          class: name,
          color,
          area: group.area,
          objectType: 'annotation',
          ...(group.name && { name: group.name }),
          classification: { name, color: bytesOf(color) },
        },
        geometry: {
          type: 'MultiPolygon',
          coordinates: group.pieces.map((piece) => rings[piece.id - 1].map(closedRing)),
        },
      };
    }),
  };
}

/** @param {number[]} ring */
function closedRing(ring) {
  const points = [];
  for (let i = 0; i <= ring.length; i += 2) points.push([ring[i % ring.length], ring[(i + 1) % ring.length]]);
  return points;
}
