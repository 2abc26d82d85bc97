"""Groups of pieces. An export writes one entry per group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.classes import FIRST_OBJECT, Class
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.pieces import Piece, find_pieces


@dataclass(frozen=True, slots=True)
class Group:
    """Pixels of one object, or of one class without an object.

    Attributes:
        value: the class, or 256 + the index of the object.
        class_value: the class.
        name: of the object; empty if it has none, or if there is no object.
        pieces: at least one, in the order of first pixels.
    """

    value: int
    class_value: int
    name: str
    pieces: list[Piece]

    @property
    def area(self) -> float:
        """Pixels."""
        return _plain(sum(piece.area for piece in self.pieces))

    @property
    def bbox(self) -> list[float]:
        """x, y, width and height in pixels, as COCO has them."""
        x0, y0, x1, y1 = zip(*(piece.box for piece in self.pieces), strict=True)
        return list(map(_plain, (min(x0), min(y0), max(x1) - min(x0), max(y1) - min(y0))))


def _plain(value: float) -> float:
    """The number as JSON of JavaScript has it: whole numbers are integers."""
    return int(value) if value == int(value) else value


def values_of(annotation: Annotation) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(height, width): 0, the pixel's class, or 256 + the index of its object."""
    instances = annotation.instances
    if instances is None:
        return annotation.mask
    return np.where(instances > 0, instances + np.uint16(FIRST_OBJECT - 1), annotation.mask)


def find_groups(annotation: Annotation, *, split: bool) -> tuple[NDArray[np.int32], list[Piece], list[Group]]:
    """The pieces of all values, and their groups.

    Args:
        annotation: a class and an object per pixel.
        split: whether each 4-connected piece of a class without an object is a group.

    Returns:
        Ids and pieces of `find_pieces`; and the groups of `group_pieces`.
    """
    ids, pieces = find_pieces(values_of(annotation))
    return ids, pieces, group_pieces(annotation, pieces, split=split)


def group_pieces(annotation: Annotation, pieces: list[Piece], *, split: bool) -> list[Group]:
    """Group pieces.

    Args:
        annotation: a class and an object per pixel.
        pieces: of its values.
        split: whether each 4-connected piece of a class without an object is a group.

    Returns:
        Objects in the order of the list, then the others: split in the order of first pixels, else in the
        order of classes.
    """
    things: dict[int, list[Piece]] = {}
    stuff: dict[int, list[Piece]] = {}
    for piece in pieces:
        if piece.value >= FIRST_OBJECT:
            things.setdefault(piece.value, []).append(piece)
        else:
            stuff.setdefault(piece.id if split else piece.value, []).append(piece)
    return [*_groups(annotation, things), *_groups(annotation, stuff)]


def _groups(annotation: Annotation, found: dict[int, list[Piece]]) -> Iterable[Group]:
    for key in sorted(found):
        pieces = found[key]
        value = pieces[0].value
        if value < FIRST_OBJECT:
            yield Group(value, value, "", pieces)
        else:
            one = annotation.objects[value - FIRST_OBJECT]
            yield Group(value, one.class_value, one.name, pieces)


def category_ids(classes: Sequence[Class]) -> list[int]:
    """COCO's category of each class: its `id` if every class has one, else 1 + its index."""
    own = [one.id for one in classes if one.id is not None]
    return own if len(own) == len(classes) else list(range(1, len(classes) + 1))


def bytes_of(color: str) -> list[int]:
    """Red, green and blue of `#rrggbb`."""
    return list(bytes.fromhex(color[1:]))
