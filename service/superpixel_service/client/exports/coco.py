"""COCO."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.outlines import join_rings
from superpixel_service.client.pieces import Ring, box_around, by_class, find_pieces


def to_coco(
    annotation: Annotation,
    *,
    file_name: str = "image",
    image_id: int = 1,
    rle: bool = False,
    split: bool = True,
) -> dict[str, Any]:
    """A COCO data set of one image, ready for JSON.

    Polygon points are pixel corners, and pycocotools reads exactly the same pixels. COCO has no holes: a
    bridge of width 0 joins each hole to its outer ring.

    Args:
        annotation: a class per pixel.
        file_name: of the image.
        image_id: of the image.
        rle: True: masks as compressed run lengths; False: polygons.
        split: True: an annotation per 4-connected piece; False: one per class.
    """
    mask = annotation.mask
    height, width = mask.shape
    ids, pieces = find_pieces(mask)
    polygons: list[Ring] = []
    if not rle:
        polygons = [[value // 2 for value in ring] for ring in join_rings(ids, len(pieces), inside=False)]
    groups = [[piece] for piece in pieces] if split else by_class(pieces)
    annotations = []
    for number, group in enumerate(groups, 1):
        first = group[0]
        x0, y0, x1, y1 = box_around(group)
        segmentation: Any = [polygons[piece.id - 1] for piece in group] if not rle else None
        if rle:
            part = (slice(y0, y1), slice(x0, x1))
            inside = ids[1:-1, 1:-1][part] == first.id if split else mask[part] == first.value
            runs = _column_runs(inside, x0, y0, width, height)
            segmentation = {"size": [height, width], "counts": _compressed(runs)}
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": first.value,
                "segmentation": segmentation,
                "area": sum(piece.area for piece in group),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
            }
        )
    return {
        "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
        "categories": [{"id": number, "name": one.name} for number, one in enumerate(annotation.classes, 1)],
        "annotations": annotations,
    }


def _column_runs(inside: NDArray[np.bool_], x0: int, y0: int, width: int, height: int) -> list[int]:
    """COCO's run lengths: column by column from the left, alternately outside and inside.

    Args:
        inside: the pixels of a box; no pixel outside the box is inside.
        x0: left column of the box.
        y0: top row of the box.
        width: of the image.
        height: of the image.
    """
    columns = np.zeros((inside.shape[1], height), bool)
    columns[:, y0 : y0 + inside.shape[0]] = inside.T
    flat = columns.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=False)) + x0 * height
    runs: list[int] = np.diff(changes, prepend=0, append=width * height).tolist()
    return runs if runs[-1] else runs[:-1]


def _compressed(runs: list[int]) -> str:
    """COCO's run lengths as text.

    Differences to the run before the last, five bits per character, lowest bits first.
    """
    out = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            out.append(chr(48 + bits + (32 if more else 0)))
    return "".join(out)
