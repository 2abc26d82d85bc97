"""The algorithm in NumPy, slow and obvious: the oracle of the kernel tests.

Written from the algorithm page, one module a stage: color, smooth, slic (update and assign), components,
graph, merge, cut.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    "lut",
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
        merges: (R-1,) MERGE_DTYPE, sorted by (height, round, a, b).
        rounds: number of merge rounds.
        collective_rounds: which of them were collective.
    """

    color: npt.NDArray[np.int16]
    smooth: npt.NDArray[np.int16]
    centers: list[npt.NDArray[np.int32]]
    assign: list[npt.NDArray[np.int32]]
    base: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    merges: Merges
    rounds: int
    collective_rounds: list[int]


def trace(image: npt.NDArray[np.uint8], compactness: float = 10.0) -> Trace:
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
    base = components(labels)
    nodes, edges = graph(smoothed, base)
    result = merge(nodes, edges, compactness, grid.step)
    return Trace(
        color=planes,
        smooth=smoothed,
        centers=centers,
        assign=assigned,
        base=base,
        nodes=nodes,
        edges=edges,
        merges=result.merges,
        rounds=result.rounds,
        collective_rounds=result.collective_rounds,
    )


def pixel_merges(
    smoothed: npt.NDArray[np.int16], base: npt.NDArray[np.int32], compactness: float = 10.0
) -> Merges:
    """The N-R records of the pixel level, for counts above R: (N-R,) MERGE_DTYPE, ends are pixel indices."""
    nodes, edges = pixel_graph(smoothed, base)
    return merge(nodes, edges, compactness, step=None).merges
