import { findPieces } from '../pieces.js';
import { traceRings } from './outlines.js';
import { byClass } from './pieces.js';

/** @typedef {import('../annotation.js').Annotation} Annotation */

/**
 * GeoJSON: a MultiPolygon with holes per class, along pixel edges. (0, 0) is the image's top left corner, y points down.
 *
 * @param {Annotation} annotation
 */
export function toGeoJSON(annotation) {
  const found = findPieces(annotation);
  const rings = traceRings(found, true);
  return {
    type: 'FeatureCollection',
    features: byClass(found.pieces).map((pieces) => {
      const { value } = pieces[0];
      const { name, color } = annotation.classes[value - 1];
      const area = pieces.reduce((sum, piece) => sum + piece.area, 0);
      return {
        type: 'Feature',
        id: value,
        properties: { class: name, color, area },
        geometry: {
          type: 'MultiPolygon',
          coordinates: pieces.map((piece) => rings[piece.id - 1].map(closedRing)),
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
