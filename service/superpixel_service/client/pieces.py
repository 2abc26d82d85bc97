"""Connected pieces of a mask. frontend/src/pieces.js finds the same ones, in the same order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = list[int]
"""Points x, y, x, y, ...; the last point is joined to the first."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A 4-connected piece of one value.

    Attributes:
        id: 1, 2, ... in the order of first pixels, row by row.
        value: a class, or an object.
        area: pixels: an integer, unless it is the area of a polygon.
        box: x0, y0, x1, y1 in pixels; x1 and y1 are exclusive.
    """

    id: int
    value: int
    area: float
    box: tuple[float, float, float, float]


def find_pieces(mask: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int32], list[Piece]]:
    """Find the 4-connected pieces of all values.

    Args:
        mask: (height, width) integers, 0 for no piece.

    Returns:
        (height + 2, width + 2) int32: the piece of each pixel, 0 for none, with a frame of zeros; and the
        pieces.
    """
    height, width = mask.shape
    # Runs of one class within a row, in raster order. Runs of the same class that touch are united below.
    starts = np.ones((height, width), bool)
    starts[:, 1:] = mask[:, 1:] != mask[:, :-1]
    run_of = (np.cumsum(starts) - 1).reshape(height, width)
    y, x0 = np.nonzero(starts)
    x1 = np.append(np.where(y[1:] == y[:-1], x0[1:], width), width)
    values = mask[y, x0]
    touching = (mask[1:] == mask[:-1]) & (mask[1:] != 0)
    pairs = np.unique(run_of[:-1][touching] * values.size + run_of[1:][touching])
    parent = list(range(values.size))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for pair in pairs.tolist():
        a, b = root(pair // values.size), root(pair % values.size)
        parent[max(a, b)] = min(a, b)
    chosen = np.flatnonzero(values)
    roots = np.fromiter((root(run) for run in chosen.tolist()), np.int64, chosen.size)
    firsts, piece = np.unique(roots, return_inverse=True)
    ids_of_runs = np.zeros(values.size, np.int32)
    ids_of_runs[chosen] = piece + 1
    ids = np.zeros((height + 2, width + 2), np.int32)
    ids[1:-1, 1:-1] = ids_of_runs[run_of]

    area = np.bincount(piece, x1[chosen] - x0[chosen], firsts.size).astype(np.int64)
    low = np.full((firsts.size, 2), max(height, width))
    high = np.zeros((firsts.size, 2), np.int64)
    np.minimum.at(low, piece, np.stack([x0[chosen], y[chosen]], axis=1))
    np.maximum.at(high, piece, np.stack([x1[chosen], y[chosen] + 1], axis=1))
    boxes = np.concatenate([low, high], axis=1).tolist()
    return ids, [
        Piece(id=number, value=value, area=pixels, box=(box[0], box[1], box[2], box[3]))
        for number, (value, pixels, box) in enumerate(
            zip(values[firsts].tolist(), area.tolist(), boxes, strict=True), 1
        )
    ]
