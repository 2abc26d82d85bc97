"""The polygons of an export: exact, or with borders that are simplified once for both neighbours."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import Group, group_pieces, values_of
from superpixel_service.client.exports.outlines import join_rings, trace_rings
from superpixel_service.client.pieces import Piece, Ring, find_pieces
from superpixel_service.client.topology import area_of, share_borders
from superpixel_service.client.topology.bridges import join_holes


@dataclass(frozen=True, slots=True)
class Shapes:
    """Polygons of the pieces of an annotation.

    Attributes:
        groups: as `group_pieces` makes them; if simplified, area and box are those of the polygons.
        ids: from `find_pieces`, if the outlines are exact.
        simplified: the rings of each piece in half pixels; None: the outlines are exact.
    """

    groups: list[Group]
    ids: NDArray[np.int32]
    simplified: list[list[Ring]] | None

    def rings(self) -> list[list[list[float]]]:
        """The rings of each piece by id - 1: first the outer ring, then the holes, in pixels."""
        if self.simplified is None:
            exact = trace_rings(self.ids, int(self.ids.max()), simple=True)
            return [[[*ring] for ring in rings] for rings in exact]
        return [[halved(ring) for ring in rings] for rings in self.simplified]

    def joined(self, *, inside: bool) -> list[Ring]:
        """The ring of each piece by id - 1 with its holes, in half pixels.

        Args:
            inside: True: through the centres of the outermost pixels, if the outlines are exact.
        """
        if self.simplified is None:
            return join_rings(self.ids, int(self.ids.max()), inside=inside)
        wanted = {piece.id for group in self.groups for piece in group.pieces}
        return [join_holes(rings) if i in wanted else [] for i, rings in enumerate(self.simplified, 1)]


def find_shapes(annotation: Annotation, *, split: bool, simplify: float) -> Shapes:
    """Find the polygons of an annotation.

    Args:
        annotation: a class and an object per pixel.
        split: whether each 4-connected piece of a class without an object is a group.
        simplify: pixels by which a border may move; 0: none moves.

    Raises:
        InvalidParameter: `simplify` is not a number from 0 on.
    """
    values = values_of(annotation)
    if simplify == 0 and not isinstance(simplify, bool):
        ids, pieces = find_pieces(values)
        return Shapes(group_pieces(annotation, pieces, split=split), ids, None)
    borders = share_borders(values, simplify)
    rings = borders.rings()
    pieces = [_measured(piece, rings[piece.id - 1]) for piece in borders.pieces if piece.value > 0]
    return Shapes(group_pieces(annotation, pieces, split=split), np.zeros((0, 0), np.int32), rings)


def _measured(piece: Piece, rings: list[Ring]) -> Piece:
    """The piece with the area and the box of its polygon."""
    xs, ys = rings[0][::2], rings[0][1::2]
    x0, y0, x1, y1 = (value / 2 for value in (min(xs), min(ys), max(xs), max(ys)))
    return replace(piece, area=sum(map(area_of, rings)) / 8, box=(x0, y0, x1, y1))


def halved(ring: Ring) -> list[float]:
    """Half pixels as pixels; whole numbers stay integers, as JSON of JavaScript has them."""
    return [value / 2 if value % 2 else value // 2 for value in ring]
