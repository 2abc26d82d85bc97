"""SVG."""

import re

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import Group
from superpixel_service.client.exports.shapes import find_shapes

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_svg(annotation: Annotation, *, simplify: float = 0) -> str:
    """An SVG drawing as large as the image.

    It has a path with holes per object, and one per class of its pixels without an object. Each has the
    colour of its class and a title.

    Args:
        annotation: a class and an object per pixel.
        simplify: pixels by which borders may move; 0: outlines along pixel edges.

    Raises:
        InvalidParameter: `simplify` is not a number from 0 on.
    """
    height, width = annotation.mask.shape
    shapes = find_shapes(annotation, split=False, simplify=simplify)
    rings = shapes.rings()
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} fill-rule="evenodd">\n']
    for group in shapes.groups:
        d = "".join(_path_of(ring) for piece in group.pieces for ring in rings[piece.id - 1])
        color = annotation.classes[group.class_value - 1].color
        title = _escaped(_title_of(annotation, group))
        lines.append(f'<path fill="{color}" d="{d}"><title>{title}</title></path>\n')
    return "".join([*lines, "</svg>\n"])


def _title_of(annotation: Annotation, group: Group) -> str:
    name = annotation.classes[group.class_value - 1].name
    return f"{name}: {group.name}" if group.name else name


def _path_of(ring: list[float]) -> str:
    return f"M{ring[0]} {ring[1]}L{' '.join(map(str, ring[2:]))}Z"


def _escaped(text: str) -> str:
    """The text as XML; characters that XML cannot contain become U+FFFD."""
    text = _NOT_XML.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
