"""GeoJSON."""

from typing import Any

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import Group, bytes_of
from superpixel_service.client.exports.shapes import find_shapes


def to_geojson(annotation: Annotation, *, simplify: float = 0) -> dict[str, Any]:
    """GeoJSON: a MultiPolygon with holes per object, and one per class of its pixels without an object.

    Polygons go along pixel edges. (0, 0) is the image's top left corner, y points down. QuPath reads name,
    class and colour.

    Args:
        annotation: a class and an object per pixel.
        simplify: pixels by which borders may move, the same for both neighbours; 0: none moves.

    Raises:
        InvalidParameter: `simplify` is not a number from 0 on.
    """
    shapes = find_shapes(annotation, split=False, simplify=simplify)
    rings = shapes.rings()
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
            for group in shapes.groups
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


def _closed_ring(ring: list[float]) -> list[list[float]]:
    points = [list(point) for point in zip(ring[::2], ring[1::2], strict=True)]
    return [*points, points[0]]
