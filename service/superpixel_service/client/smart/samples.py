"""The pixels that smart select looks at: their regions, colours, and where a mask parts them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION, OUTSIDE, InvalidParameter, LabelMap, with_outside
from superpixel_service.client.sampling import positions
from superpixel_service.client.smart.arithmetic import Ints, curve_of

MAX_SAMPLES = 1 << 19
"""Most pixels that are looked at; of a larger view every second, third, ... column and row."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The pixels that are looked at.

    Attributes:
        labels: (rows, columns) the region of the level; -1 outside the mask.
        curve: (rows, columns, 3) from `curve_of`.
        right: (rows, columns) whether the view has a sample to the right, and no pixel from here to there is
            outside.
        below: the same downward.
    """

    labels: Ints
    curve: Ints
    right: NDArray[np.bool_]
    below: NDArray[np.bool_]


def finest_with_outside(source: LabelMap) -> NDArray[np.int32]:
    """Labels with `OUTSIDE` at pixels of no superpixel: in a window of a store, one label stands for them."""
    if source.global_ids is None or NO_REGION not in source.global_ids.ids:
        return source.labels
    outside = source.global_ids.ids == NO_REGION
    return np.where(outside[source.labels], np.int32(OUTSIDE), source.labels)


def sample(
    source: LabelMap, lut: Ints, count: int, image: NDArray[np.uint8] | None, box: Box | None
) -> Samples:
    """Look at a level of a label map, whose `cut` is `lut`. Arguments and errors as for `SmartSelect`."""
    x0, y0, x1, y1 = (0, 0, source.width, source.height) if box is None else box
    if not (0 <= x0 < x1 <= source.width and 0 <= y0 < y1 <= source.height):
        raise InvalidParameter(
            "box", f"must be x0 < x1, y0 < y1 in {source.width} x {source.height}, got {box}"
        )
    high, wide = y1 - y0, x1 - x0
    if image is not None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InvalidParameter(
                "image", f"must be (height, width, 3) uint8, got {image.shape} {image.dtype}"
            )
        if not (1 <= image.shape[0] <= high and 1 <= image.shape[1] <= wide):
            raise InvalidParameter(
                "image",
                f"must be at most {wide} x {high} as the box is, got {image.shape[1]} x {image.shape[0]}",
            )
    size = (high, wide) if image is None else image.shape[:2]
    rows, columns = sample_sizes(*size)
    finest = finest_with_outside(source)[y0:y1, x0:x1]
    ys, xs = positions(rows, high), positions(columns, wide)
    labels = with_outside(lut, OUTSIDE)[finest[np.ix_(ys, xs)]]
    inside = finest >= 0
    right, below = _open_steps(inside[ys], xs), _open_steps(inside[:, xs].T, ys).T
    if image is not None:
        curve = curve_of(image[np.ix_(positions(rows, size[0]), positions(columns, size[1]))])
        return Samples(labels, curve, right, below)
    if source.regions is None:
        raise InvalidParameter("image", "is missing, and the map contains no colours (include_regions)")
    areas = np.bincount(source.labels[source.labels >= 0], minlength=source.count)
    sums = np.stack(
        [np.bincount(lut, source.regions.mean_color[:, c] * areas, count) for c in range(3)], axis=1
    )
    mean = np.floor(sums / np.bincount(lut, areas, count)[:, np.newaxis] + 0.5)
    return Samples(labels, curve_of(mean.astype(np.uint8))[labels], right, below)


def sample_sizes(height: int, width: int) -> tuple[int, int]:
    """How many rows and columns of a view are looked at."""
    stride = 1
    while -(-height // stride) * -(-width // stride) > MAX_SAMPLES:
        stride += 1
    return -(-height // stride), -(-width // stride)


def _open_steps(inside: NDArray[np.bool_], places: Ints) -> NDArray[np.bool_]:
    """(n, m): whether a row has no pixel outside from each of the m places to the next one. The last: no."""
    until = np.cumsum(~inside, axis=1)
    open_ = np.zeros((len(inside), len(places)), np.bool_)
    open_[:, :-1] = (until[:, places[1:]] == until[:, places[:-1]]) & inside[:, places[:-1]]
    return open_
