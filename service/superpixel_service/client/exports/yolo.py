"""YOLO."""

from itertools import pairwise

import numpy as np

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.shapes import find_shapes
from superpixel_service.client.pieces import Ring

MOST_ENDS = 64
"""Most corners of a ring that are tried as the end of a bridge."""


def to_yolo(annotation: Annotation, *, simplify: float = 0) -> str:
    """YOLO segmentation labels: a line per object, and one per 4-connected piece of a class without one.

    It holds the class, counted from 0, and the outline through the centres of the outermost pixels, as
    fractions of width and height. A reader that also fills the outline's own pixels gets exactly the same
    pixels; Ultralytics does so with cv2.fillPoly. Bridges join the pieces of an object, as Ultralytics' own
    converter does: a reader gets the pixels under them, too.

    Args:
        annotation: a class and an object per pixel.
        simplify: pixels by which borders may move; 0: none moves. If it is more, the outline runs along the
            border that neighbours share, not through the centres of pixels.

    Raises:
        InvalidParameter: `simplify` is not a number from 0 on.
    """
    height, width = annotation.mask.shape
    shapes = find_shapes(annotation, split=True, simplify=simplify)
    rings = shapes.joined(inside=True)
    lines = []
    for group in shapes.groups:
        ring = _chain([rings[piece.id - 1] for piece in group.pieces])
        # A YOLO polygon needs three points.
        while len(ring) < 6:
            ring += ring[-2:]
        shares = [_share(value, height if at % 2 else width) for at, value in enumerate(ring)]
        lines.append(f"{group.class_value - 1} {' '.join(shares)}\n")
    return "".join(lines)


def _chain(rings: list[Ring]) -> Ring:
    """Join rings to one: a bridge leads from each to the next, and back the same way."""
    if len(rings) == 1:
        return rings[0]
    bridges = [_bridge(a, b) for a, b in pairwise(rings)]
    begins = [0, *(to for _, to in bridges)]
    out: Ring = []

    def walk(ring: Ring, start: int, corners: int) -> None:
        """Append this many corners, from `start` on."""
        for i in range(start, start + corners):
            at = 2 * i % len(ring)
            out.extend(ring[at : at + 2])

    for ring, begin, (leave, _) in zip(rings, begins, bridges, strict=False):
        walk(ring, begin, (leave - begin) % (len(ring) // 2) + 1)
    walk(rings[-1], begins[-1], len(rings[-1]) // 2 + 1)
    for number in range(len(bridges) - 1, -1, -1):
        ring, begin, leave = rings[number], begins[number], bridges[number][0]
        corners = len(ring) // 2 - (leave - begin) % (len(ring) // 2)
        walk(ring, leave, corners + (number > 0))
    return out


def _bridge(a: Ring, b: Ring) -> tuple[int, int]:
    """A corner of each ring: of those tried, the first pair with the least distance."""
    steps = [-(-len(ring) // 2 // MOST_ENDS) for ring in (a, b)]
    first, second = (
        np.array(ring, np.int64).reshape(-1, 2)[::step] for ring, step in zip((a, b), steps, strict=True)
    )
    distances = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    i, j = divmod(int(distances.argmin()), len(second))
    return i * steps[0], j * steps[1]


def _share(half_pixels: int, size: int) -> str:
    """half_pixels / (2 * size) to six decimal places, rounded half up."""
    millionths = (half_pixels * 10**6 + size) // (2 * size)
    return f"{millionths // 10**6}.{millionths % 10**6:06d}"
