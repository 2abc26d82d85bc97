"""Stage *merge*: rounds of merging neighbours until no edge is left."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tests.kernels.reference.disjoint import DisjointSets
from tests.kernels.reference.graph import Table, join

MERGE_DTYPE = np.dtype([("height", "<f4"), ("round", "<i4"), ("a", "<i4"), ("b", "<i4")])
"""One merge record; its bytes are the golden table's row (height bits, r, a, b)."""

COLLECTIVE_FROM_ROUND = 96

Merges = npt.NDArray[np.void]


@dataclass(frozen=True, eq=False)
class MergeResult:
    """The sorted merge list and how it came about.

    With a hard prior there are two lists, one after the other: `merges` has both, `rounds` counts the rounds
    of both, and `runs` has each by itself.
    """

    merges: Merges
    rounds: int
    collective_rounds: list[int]
    runs: "list[MergeResult]" = field(default_factory=list)


def cost(
    node_a: Table,
    node_b: Table,
    length: Table,
    cs: Table,
    compactness: float,
    step: int | None,
    importance: tuple[Table, Table] | None = None,
) -> npt.NDArray[np.float32]:
    """Cost of the edges between node_a and node_b, each (E, 4) [n, sL, sA, sB]; step None: pixel level.

    importance: W of both ends; None: 32 n.
    """
    k4 = 0.4 * compactness
    na, nb = node_a[:, 0].astype(np.float64), node_b[:, 0].astype(np.float64)
    d0, d1, d2 = (
        node_a[:, c].astype(np.float64) / na - node_b[:, c].astype(np.float64) / nb for c in (1, 2, 3)
    )
    sides = length.astype(np.float64)
    dd = (d0 * d0 + d1 * d1) + d2 * d2
    s = np.sqrt(dd) + 0.5 * (cs.astype(np.float64) / sides)
    col = s * s + 256.0
    wa, wb = (na, nb) if importance is None else (w.astype(np.float64) * (1.0 / 32) for w in importance)
    hm = (wa * wb) / (wa + wb)
    q = np.sqrt(hm)
    size = hm * np.sqrt(q)
    shape = 1.0 + (k4 * q) / sides
    if step is None:
        t = np.ones(len(na))
    else:
        t = np.minimum(1.0, (2.0 * np.minimum(na, nb)) / np.float64(step * step))
    return (((col * size) * shape) * (t * t)).astype(np.float32)


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def edge_hash(a: Table, b: Table) -> npt.NDArray[np.uint32]:
    """The hash that settles equal costs: (E,) uint32."""
    return _mix((a.astype(np.uint32) * np.uint32(0x9E3779B1)) ^ _mix(b.astype(np.uint32)))


def _positions_by_key(costs: npt.NDArray[np.float32], a: Table, b: Table) -> npt.NDArray[np.intp]:
    """Each edge's place when all edges are sorted by (cost, hash, a, b)."""
    order = np.lexsort((b, a, edge_hash(a, b), costs.view(np.uint32)))
    position = np.empty(len(order), np.intp)
    position[order] = np.arange(len(order))
    return position


def _contracted(size: int, a: Table, b: Table) -> npt.NDArray[np.intp]:
    """New identity of each of `size` regions after the merged edges (a, b)."""
    sets = DisjointSets(size)
    sets.unite_all(zip(a.tolist(), b.tolist(), strict=True))
    identity = np.arange(size)
    touched = np.union1d(a, b)
    identity[touched] = sets.names(touched.tolist())
    return identity


def merge(
    nodes: Table,
    edges: Table,
    compactness: float,
    step: int | None,
    importance: npt.NDArray[np.int64] | None = None,
    prior: npt.NDArray[np.int32] | None = None,
) -> MergeResult:
    """Merge until no edge is left.

    nodes: (R, 4) [n, sL, sA, sB]; edges: (E, 4) [a, b, len, cs] with a < b; step: the grid step S, or None on
    the pixel level, where no region is a speck; importance: (R,) W; prior: (R,) the hard prior's labels, then
    there are two runs.
    """
    weights = 32 * nodes[:, 0] if importance is None else importance
    state = _State(nodes, edges, weights)
    if prior is None:
        return _run(state, compactness, step, None)
    runs = [_run(state, compactness, step, prior), _run(state, compactness, step, None)]
    return MergeResult(
        np.concatenate([run.merges for run in runs]),
        sum(run.rounds for run in runs),
        [number for run in runs for number in run.collective_rounds],
        runs,
    )


@dataclass(eq=False)
class _State:
    """Regions by identity (rows of absorbed ones are 0), and the edges between them."""

    nodes: Table
    edges: Table
    weights: npt.NDArray[np.int64]


def _run(
    state: _State, compactness: float, step: int | None, prior: npt.NDArray[np.int32] | None
) -> MergeResult:
    """Rounds until no candidate is left: all edges, or with `prior` those between equal labels."""
    live = np.count_nonzero(state.nodes[:, 0])
    height = np.zeros(len(state.nodes), np.float32)
    records: list[Merges] = []
    collective_rounds: list[int] = []
    collective = False
    rounds = 0
    while True:
        a, b, length, cs = state.edges.T
        candidate = np.full(len(a), True) if prior is None else prior[a] == prior[b]
        if not candidate.any():
            break
        nodes, weights = state.nodes, state.weights
        a, b, length, cs = state.edges[candidate].T
        importance = (weights[a], weights[b])
        costs = cost(nodes[a], nodes[b], length, cs, compactness, step, importance)
        position = _positions_by_key(costs, a, b)
        least = np.full(len(nodes), len(a))
        np.minimum.at(least, a, position)
        np.minimum.at(least, b, position)
        chosen_by_a, chosen_by_b = least[a] == position, least[b] == position
        merged = (chosen_by_a | chosen_by_b) if collective else (chosen_by_a & chosen_by_b)
        if collective:
            collective_rounds.append(rounds)

        record = np.empty(np.count_nonzero(merged), MERGE_DTYPE)
        record["a"], record["b"], record["round"] = a[merged], b[merged], rounds
        record["height"] = np.maximum(costs, np.maximum(height[a], height[b]))[merged]
        records.append(record)

        identity = _contracted(len(nodes), a[merged], b[merged])
        state.nodes = np.zeros_like(nodes)
        np.add.at(state.nodes, identity, nodes)
        state.weights = np.zeros_like(weights)
        np.add.at(state.weights, identity, weights)
        merged_height = np.zeros_like(height)
        np.maximum.at(merged_height, identity, height)
        np.maximum.at(merged_height, identity[record["a"]], record["height"])
        height = merged_height
        a, b, length, cs = state.edges.T
        a, b = identity[a], identity[b]
        state.edges = join(np.column_stack([a, b, length, cs])[a != b])

        rounds += 1
        collective = 64 * len(record) < live or rounds >= COLLECTIVE_FROM_ROUND
        live -= len(record)
    merges = np.concatenate([np.empty(0, MERGE_DTYPE), *records])
    merges = merges[np.lexsort((merges["b"], merges["a"], merges["round"], merges["height"]))]
    return MergeResult(merges, rounds, collective_rounds)
