"""GeoJSON."""

from typing import Any

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import Group, bytes_of, find_groups
from superpixel_service.client.exports.outlines import trace_rings
from superpixel_service.client.pieces import Ring


def to_geojson(annotation: Annotation) -> dict[str, Any]:
    """GeoJSON: a MultiPolygon with holes per object, and one per class of its pixels without an object.

    Polygons go along pixel edges. (0, 0) is the image's top left corner, y points down. QuPath reads name,
    class and colour.
    """
    ids, pieces, groups = find_groups(annotation, split=False)
    rings = trace_rings(ids, len(pieces), simple=True)
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": group.value,
                "properties": _properties(annotation, group),
                "geometry": {
                    "type": "MultiPolygon",
                    "coordinates": [
                        [_closed_ring(ring) for ring in rings[piece.id - 1]] for piece in group.pieces
                    ],
                },
            }
            for group in groups
        ],
    }


def _properties(annotation: Annotation, group: Group) -> dict[str, Any]:
    one = annotation.classes[group.class_value - 1]
    return {
        "class": one.name,
        "color": one.color,
        "area": group.area,
        "objectType": "annotation",
        **({"name": group.name} if group.name else {}),
        "classification": {"name": one.name, "color": bytes_of(one.color)},
    }


def _closed_ring(ring: Ring) -> list[list[int]]:
    points = [list(point) for point in zip(ring[::2], ring[1::2], strict=True)]
    return [*points, points[0]]
