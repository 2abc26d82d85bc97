"""COCO's instances."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import FIRST_OBJECT
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import Group, category_ids, find_groups
from superpixel_service.client.exports.shapes import find_shapes, halved
from superpixel_service.client.runs import find_runs


def coco_head() -> dict[str, Any]:
    """What COCO's readers expect at the top of a file."""
    return {"info": {"description": "", "version": "1.0"}, "licenses": []}


def to_coco(
    annotation: Annotation,
    *,
    file_name: str = "image",
    image_id: int = 1,
    rle: bool = False,
    split: bool = True,
    simplify: float = 0,
) -> dict[str, Any]:
    """A COCO data set of one image, ready for JSON: an annotation per object, also of several pieces.

    Polygon points are pixel corners, and pycocotools reads exactly the same pixels. COCO has no holes: a
    bridge of width 0 joins each hole to its outer ring.

    Args:
        annotation: a class and an object per pixel.
        file_name: of the image.
        image_id: of the image.
        rle: True: masks as compressed run lengths; False: polygons.
        split: pixels without an object: True: an annotation per 4-connected piece; False: one per class.
        simplify: pixels by which the borders of polygons may move, the same for both neighbours; 0: none
            moves. Areas and boxes are those of the polygons.

    Raises:
        InvalidParameter: `simplify` is not a number from 0 on, or is given with `rle`.
    """
    check_rle(rle=rle, simplify=simplify)
    height, width = annotation.mask.shape
    categories = category_ids(annotation.classes)
    polygons: list[list[float]] = []
    counts: list[str] = []
    if rle:
        ids, pieces, groups = find_groups(annotation, split=split)
        counts = _column_counts(ids, len(pieces), groups)
    else:
        shapes = find_shapes(annotation, split=split, simplify=simplify)
        groups = shapes.groups
        polygons = [halved(ring) for ring in shapes.joined(inside=False)]
    return {
        **coco_head(),
        "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
        "categories": [
            {"id": number, "name": one.name}
            for number, one in zip(categories, annotation.classes, strict=True)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": categories[group.class_value - 1],
                "segmentation": {"size": [height, width], "counts": counts[number - 1]}
                if rle
                else [polygons[piece.id - 1] for piece in group.pieces],
                "area": group.area,
                "bbox": group.bbox,
                "iscrowd": 0,
            }
            | ({"attributes": {"name": group.name}} if group.name else {})
            # Readers ignore it. Imports do not make an object of it.
            | ({"isthing": 0} if group.value < FIRST_OBJECT else {})
            for number, group in enumerate(groups, 1)
        ],
    }


def check_rle(*, rle: bool, simplify: float) -> None:
    """Check that polygons are wanted if their borders may move.

    Raises:
        InvalidParameter: `simplify` is given with `rle`.
    """
    if rle and simplify != 0:
        raise InvalidParameter("simplify", "run lengths are exact; leave it out with rle")


def _column_counts(ids: NDArray[np.int32], pieces: int, groups: list[Group]) -> list[str]:
    """COCO's compressed run lengths of all groups, in one pass over the picture.

    Runs go column by column from the left, alternately outside and inside.

    Args:
        ids: from `find_pieces`.
        pieces: their number.
        groups: of pieces.
    """
    if not groups:
        return []
    group_of = np.full(pieces + 1, -1, np.int32)
    members = [piece.id for group in groups for piece in group.pieces]
    group_of[members] = np.repeat(np.arange(len(groups)), [len(group.pieces) for group in groups])
    columns = group_of[ids[1:-1, 1:-1]].T.ravel()
    starts, ends = find_runs(columns)
    group = columns[starts]
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    starts, ends, group = starts[order], ends[order], group[order]

    # Per run: the pixels outside before it, and its own. After the last run of a group: the rest.
    is_first = np.append(True, group[1:] != group[:-1])
    is_last = np.append(is_first[1:], True)
    before = np.where(is_first, 0, np.append(0, ends[:-1]))
    at = 2 * np.arange(group.size) + group
    numbers = np.zeros(2 * group.size + len(groups), np.int64)
    numbers[at] = starts - before
    numbers[at + 1] = ends - starts
    numbers[at[is_last] + 2] = columns.size - ends[is_last]
    first_number = at[is_first]
    place = np.arange(numbers.size)
    place -= np.repeat(first_number, np.diff(np.append(first_number, numbers.size)))
    values = numbers.copy()
    values[2:] -= np.where(place[2:] > 2, numbers[:-2], 0)
    exists = np.ones(numbers.size, bool)
    exists[at[is_last] + 2] = ends[is_last] < columns.size
    return _texts(values, exists, first_number)


def _texts(values: NDArray[np.int64], exists: NDArray[np.bool_], firsts: NDArray[np.int64]) -> list[str]:
    """Numbers as text, five bits per character, lowest bits first.

    Args:
        values: of all groups.
        exists: whether the number is written.
        firsts: the first number of each group.
    """
    rows = []
    rest, more = values, exists
    while more.any():
        bits = rest & 31
        rest = rest >> 5
        continues = rest != np.where(bits & 16, -1, 0)
        rows.append(np.where(more, 48 + bits + 32 * continues, 0).astype(np.uint8))
        more = more & continues
    characters = np.stack(rows, axis=1)
    ends = np.cumsum((characters > 0).sum(axis=1))
    text = characters[characters > 0].tobytes().decode("ascii")
    bounds = [*np.where(firsts > 0, ends[firsts - 1], 0).tolist(), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]
