import { traceRings } from './outlines.js';
import { findGroups } from './pieces.js';
import { bytesOf } from './png.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * GeoJSON: a MultiPolygon with holes per object, and one per class of its pixels without an object, along pixel edges. (0, 0)
 * is the image's top left corner, y points down. QuPath reads name, class and colour.
 *
 * @param {Annotation} annotation
 */
export function toGeoJSON(annotation) {
  const { found, groups } = findGroups(annotation, false);
  const rings = traceRings(found, true);
  return {
    type: 'FeatureCollection',
    features: groups.map((group) => {
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
