"""Guidance: maps beside the image, and what they add to the stages graph and merge."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one call, each (height, width) as the image, or None."""

    edges: Map | None = None
    edge_weight: int = 2
    prior: Map | None = None
    prior_mode: str = "soft"
    prior_weight: int = 64
    importance: Map | None = None

    @property
    def hard(self) -> bool:
        return self.prior_mode == "hard"


def scaled(values: Map, width: int, height: int) -> Map:
    """A map of any size by nearest neighbour as a map of the picture's size."""
    rows = [((2 * y + 1) * values.shape[0]) // (2 * height) for y in range(height)]
    columns = [((2 * x + 1) * values.shape[1]) // (2 * width) for x in range(width)]
    return values[np.ix_(rows, columns)]


def edge_levels(edges: Map, base: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """ea: the mean of the edge map over each base region, rounded down: (R,)."""
    sums = np.zeros(int(base.max()) + 1, np.int64)
    np.add.at(sums, base.ravel(), edges.ravel().astype(np.int64))
    return (sums // np.bincount(base.ravel())).astype(np.int32)


def prior_labels(prior: Map, base: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Pa: the most frequent prior label in each base region, ties to the smallest label: (R,)."""
    found = np.zeros(int(base.max()) + 1, np.int32)
    order = np.argsort(base.ravel(), kind="stable")
    first = np.searchsorted(base.ravel()[order], np.arange(len(found)))
    for region, labels in enumerate(np.split(prior.ravel()[order], first[1:])):
        values, counts = np.unique(labels, return_counts=True)
        found[region] = values[np.argmax(counts)]  # the first of equal counts, and values ascend
    return found


def importance_sums(importance: Map, base: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """W: the sum of (32 + v) over each base region: (R,)."""
    sums = np.zeros(int(base.max()) + 1, np.int64)
    np.add.at(sums, base.ravel(), 32 + importance.ravel().astype(np.int64))
    return sums


def added_contrast(
    maps: Maps, base: npt.NDArray[np.int32], p: npt.NDArray[np.int64], q: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """What the maps add to the contrast of the pixel sides (p|q), both pixel indices: (sides,)."""
    a, b = base.ravel()[p], base.ravel()[q]
    added = np.zeros(len(p), np.int64)
    if maps.edges is not None:
        e = maps.edges.ravel().astype(np.int64)
        level = edge_levels(maps.edges, base)
        added += maps.edge_weight * np.maximum(0, np.maximum(e[p], e[q]) - np.maximum(level[a], level[b]))
    if maps.prior is not None and not maps.hard:
        label = prior_labels(maps.prior, base)
        added += np.where(label[a] != label[b], maps.prior_weight, 0)
    return added
