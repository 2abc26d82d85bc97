"""The algorithm in NumPy, slow and obvious: the oracle of the kernel tests.

Written from the algorithm page, one module a stage: color, smooth, slic (update and assign), components,
graph, merge, cut.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.kernels.reference import guidance, mask
from tests.kernels.reference.color import LIN, F, color, rgb
from tests.kernels.reference.components import by_first_appearance, components
from tests.kernels.reference.cut import cut, lut, tree
from tests.kernels.reference.disjoint import DisjointSets
from tests.kernels.reference.graph import graph, pixel_graph
from tests.kernels.reference.merge import MERGE_DTYPE, MergeResult, Merges, cost, edge_hash, merge
from tests.kernels.reference.slic import ITERATIONS, Grid, assign, base_step, spatial_weight, update
from tests.kernels.reference.smooth import smooth

__all__ = [
    "ITERATIONS",
    "LIN",
    "MERGE_DTYPE",
    "DisjointSets",
    "F",
    "Grid",
    "MergeResult",
    "Merges",
    "Trace",
    "assign",
    "base_step",
    "by_first_appearance",
    "color",
    "components",
    "cost",
    "cut",
    "edge_hash",
    "graph",
    "guidance",
    "lut",
    "mask",
    "merge",
    "pixel_graph",
    "pixel_merges",
    "rgb",
    "smooth",
    "spatial_weight",
    "trace",
    "tree",
    "update",
]


@dataclass(frozen=True, eq=False)
class Trace:
    """What every stage leaves.

    Attributes:
        color: (3, height, width) int16.
        smooth: (3, height, width) int16.
        centers: after each update, (ny*nx, 5) int32 [L, A, B, 4x, 4y].
        assign: after each assign, (height, width) int32.
        base: (height, width) int32, the base regions.
        nodes: (R, 4) int64 [n, sL, sA, sB].
        edges: (E, 4) int64 [a, b, len, cs], sorted by (a, b).
        edge_levels: (R,) int32, with an edge map.
        prior_labels: (R,) int32, with a prior map.
        importance: (R,) int64, W, with an importance map.
        merges: (R-1,) MERGE_DTYPE, sorted by (height, round, a, b).
        rounds: number of merge rounds.
        collective_rounds: which of them were collective.
        runs: with a hard prior, the result of each of the two runs of stage merge.
    """

    color: npt.NDArray[np.int16]
    smooth: npt.NDArray[np.int16]
    centers: list[npt.NDArray[np.int32]]
    assign: list[npt.NDArray[np.int32]]
    base: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    edge_levels: npt.NDArray[np.int32] | None
    prior_labels: npt.NDArray[np.int32] | None
    importance: npt.NDArray[np.int64] | None
    merges: Merges
    rounds: int
    collective_rounds: list[int]
    runs: list[MergeResult]

    @property
    def prior_components(self) -> int | None:
        """C, with a hard prior."""
        return len(self.nodes) - len(self.runs[0].merges) if self.runs else None


def trace(
    image: npt.NDArray[np.uint8], compactness: float = 10.0, maps: guidance.Maps | None = None
) -> Trace:
    """Run every stage on a (height, width[, 1, 3 or 4]) uint8 image."""
    planes = color(image)
    smoothed = smooth(planes)
    grid = Grid(*smoothed.shape[1:])
    labels = grid.first_labels()
    # Every cell holds a pixel, so the first update overwrites all of these.
    current = np.zeros((grid.ny * grid.nx, 5), np.int32)
    centers, assigned = [], []
    for _ in range(ITERATIONS):
        current = update(smoothed, labels, current)
        labels = assign(smoothed, current, compactness)
        centers.append(current)
        assigned.append(labels)
    maps = guidance.Maps() if maps is None else maps
    base = components(labels, maps.prior if maps.hard else None)
    nodes, edges = graph(smoothed, base, maps)
    importance = None if maps.importance is None else guidance.importance_sums(maps.importance, base)
    prior = None if maps.prior is None else guidance.prior_labels(maps.prior, base)
    result = merge(nodes, edges, compactness, grid.step, importance, prior if maps.hard else None)
    return Trace(
        color=planes,
        smooth=smoothed,
        centers=centers,
        assign=assigned,
        base=base,
        nodes=nodes,
        edges=edges,
        edge_levels=None if maps.edges is None else guidance.edge_levels(maps.edges, base),
        prior_labels=prior,
        importance=importance,
        merges=result.merges,
        rounds=result.rounds,
        collective_rounds=result.collective_rounds,
        runs=result.runs,
    )


def pixel_merges(
    smoothed: npt.NDArray[np.int16], base: npt.NDArray[np.int32], compactness: float = 10.0
) -> Merges:
    """The N-R records of the pixel level, for counts above R: (N-R,) MERGE_DTYPE, ends are pixel indices."""
    nodes, edges = pixel_graph(smoothed, base)
    return merge(nodes, edges, compactness, step=None).merges
