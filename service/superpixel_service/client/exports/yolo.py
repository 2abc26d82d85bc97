"""YOLO."""

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.outlines import join_rings
from superpixel_service.client.pieces import find_pieces


def to_yolo(annotation: Annotation) -> str:
    """YOLO segmentation labels: a line per 4-connected piece.

    It holds the class, counted from 0, and the piece's outline through the centres of its outermost pixels,
    as fractions of width and height. A reader that also fills the outline's own pixels gets exactly the same
    pixels; Ultralytics does so with cv2.fillPoly.
    """
    height, width = annotation.mask.shape
    ids, pieces = find_pieces(annotation.mask)
    lines = []
    for piece, ring in zip(pieces, join_rings(ids, len(pieces), inside=True), strict=True):
        # A YOLO polygon needs three points.
        while len(ring) < 6:
            ring += ring[-2:]
        shares = [_share(value, height if at % 2 else width) for at, value in enumerate(ring)]
        lines.append(f"{piece.value - 1} {' '.join(shares)}\n")
    return "".join(lines)


def _share(half_pixels: int, size: int) -> str:
    """half_pixels / (2 * size) to six decimal places, rounded half up."""
    millionths = (half_pixels * 10**6 + size) // (2 * size)
    return f"{millionths // 10**6}.{millionths % 10**6:06d}"
