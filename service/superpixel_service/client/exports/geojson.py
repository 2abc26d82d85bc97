"""GeoJSON."""

from typing import Any

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.outlines import trace_rings
from superpixel_service.client.pieces import Ring, by_class, find_pieces


def to_geojson(annotation: Annotation) -> dict[str, Any]:
    """GeoJSON: a MultiPolygon with holes per class, along pixel edges.

    (0, 0) is the image's top left corner, y points down.
    """
    ids, pieces = find_pieces(annotation.mask)
    rings = trace_rings(ids, len(pieces), simple=True)
    features = []
    for group in by_class(pieces):
        value = group[0].value
        one = annotation.classes[value - 1]
        polygons = [[_closed_ring(ring) for ring in rings[piece.id - 1]] for piece in group]
        area = sum(piece.area for piece in group)
        features.append(
            {
                "type": "Feature",
                "id": value,
                "properties": {"class": one.name, "color": one.color, "area": area},
                "geometry": {"type": "MultiPolygon", "coordinates": polygons},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _closed_ring(ring: Ring) -> list[list[int]]:
    points = [list(point) for point in zip(ring[::2], ring[1::2], strict=True)]
    return [*points, points[0]]
