"""Stage *cut*: a label map of any count, and the tree above it."""

import numpy as np
import numpy.typing as npt

from tests.kernels.reference.components import by_first_appearance
from tests.kernels.reference.disjoint import DisjointSets
from tests.kernels.reference.merge import Merges


def _pixel_records(base: npt.NDArray[np.int32], merges: Merges, pixel_merges: Merges) -> Merges:
    """All N-1 records with pixels for ends: a base region is named by its first pixel."""
    first_pixel = np.unique(base, return_index=True)[1]
    named = merges.copy()
    named["a"], named["b"] = first_pixel[merges["a"]], first_pixel[merges["b"]]
    return np.concatenate([pixel_merges, named])


def _split(
    base: npt.NDArray[np.int32], merges: Merges, count: int, pixel_merges: Merges | None
) -> tuple[npt.NDArray[np.integer], Merges, Merges]:
    """The map to start from, the records that lead to `count` regions, and those after them."""
    if count <= len(merges) + 1:
        start: npt.NDArray[np.integer] = base
        records = merges
    else:
        assert pixel_merges is not None, "counts above the base need the pixel level"
        start = np.arange(base.size).reshape(base.shape)
        records = _pixel_records(base, merges, pixel_merges)
    united = len(records) + 1 - count
    return start, records[:united], records[united:]


def _pairs(records: Merges) -> list[tuple[int, int]]:
    return list(zip(records["a"].tolist(), records["b"].tolist(), strict=True))


def cut(
    base: npt.NDArray[np.int32], merges: Merges, count: int, pixel_merges: Merges | None = None
) -> npt.NDArray[np.int32]:
    """The label map of exactly `count` regions, 0..count-1 by first appearance: (height, width)."""
    start, united, _ = _split(base, merges, count, pixel_merges)
    sets = DisjointSets(int(start.max()) + 1)
    sets.unite_all(_pairs(united))
    return by_first_appearance(np.array(sets.names(start.ravel().tolist())).reshape(base.shape))


def tree(
    base: npt.NDArray[np.int32], merges: Merges, count: int, pixel_merges: Merges | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The tree above the map of `count` labels: into and order of labels 1..count-1, heights by order.

    into: the largest label below b of the component that b's component is merged into when b stops being the
    smallest label of its component; order: the rank of that merge, 0..count-2; heights[rank]: its height.
    """
    start, _, remaining = _split(base, merges, count, pixel_merges)
    labels = cut(base, merges, count, pixel_merges)
    label_of = dict(zip(start.ravel().tolist(), labels.ravel().tolist(), strict=True))
    component = {label: {label} for label in range(count)}
    into = np.zeros(count, np.int64)
    order = np.zeros(count, np.int64)
    for rank, (a, b) in enumerate(_pairs(remaining)):
        survivor, loser = sorted((component[label_of[a]], component[label_of[b]]), key=min)
        lost = min(loser)
        into[lost] = max(label for label in survivor if label < lost)
        order[lost] = rank
        survivor |= loser
        for label in loser:
            component[label] = survivor
    return into[1:], order[1:], np.ascontiguousarray(remaining["height"])


def lut(fine: npt.NDArray[np.int32], coarse: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The coarse label of each fine label: (fine count,). Only for nested maps."""
    table = np.full(int(fine.max()) + 1, -1, np.int32)
    table[fine.ravel()] = coarse.ravel()
    return table
