"""Stage *components*: the base regions."""

import numpy as np
import numpy.typing as npt


def components(
    labels: npt.NDArray[np.int32], prior: npt.NDArray[np.integer] | None = None
) -> npt.NDArray[np.int32]:
    """4-connected components of equal labels, 0.. in raster order of their first pixel: (height, width).

    With a hard prior: of equal label and equal prior label.
    """
    height, width = labels.shape
    value = labels.ravel().tolist()
    if prior is not None:
        value = list(zip(value, prior.ravel().tolist(), strict=True))
    region = [-1] * len(value)
    regions = 0
    for first in range(len(value)):
        if region[first] >= 0:
            continue
        region[first] = regions
        open_pixels = [first]
        while open_pixels:
            pixel = open_pixels.pop()
            y, x = divmod(pixel, width)
            neighbours = []
            if x > 0:
                neighbours.append(pixel - 1)
            if x < width - 1:
                neighbours.append(pixel + 1)
            if y > 0:
                neighbours.append(pixel - width)
            if y < height - 1:
                neighbours.append(pixel + width)
            for neighbour in neighbours:
                if region[neighbour] < 0 and value[neighbour] == value[first]:
                    region[neighbour] = regions
                    open_pixels.append(neighbour)
        regions += 1
    return np.array(region, np.int32).reshape(height, width)


def by_first_appearance(values: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """The same partition, its labels numbered 0.. in raster order of first appearance."""
    _, first, inverse = np.unique(values.ravel(), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first)).astype(np.int32)
    return rank[inverse].reshape(values.shape)
