"""A mask: a hard prior that separates the inside, and the merges between what is inside."""

import numpy as np
import numpy.typing as npt

from tests.kernels.reference.guidance import Maps
from tests.kernels.reference.merge import MERGE_DTYPE, Merges

OUTSIDE = -1

Mask = npt.NDArray[np.bool_]


def maps_with_mask(maps: Maps | None, mask: Mask) -> Maps:
    """The maps whose hard prior is 0 outside, and inside 1, or 1 + the label of the hard prior."""
    maps = Maps() if maps is None else maps
    assert maps.prior is None or maps.hard
    inside = np.ones(mask.shape, np.int64) if maps.prior is None else maps.prior.astype(np.int64) + 1
    prior = np.where(mask, inside, 0)
    return Maps(maps.edges, maps.edge_weight, prior, "hard", maps.prior_weight, maps.importance)


def inside_base(base: npt.NDArray[np.int32], mask: Mask) -> npt.NDArray[np.int32]:
    """The base regions inside, numbered in the same order; OUTSIDE elsewhere."""
    number = {region: rank for rank, region in enumerate(sorted(set(base[mask].tolist())))}
    return np.array([number.get(region, OUTSIDE) for region in base.ravel().tolist()], np.int32).reshape(
        base.shape
    )


def inside_merges(merges: Merges, inside: npt.NDArray[np.bool_]) -> Merges:
    """The records whose two sides both have something inside, in the numbers of what is inside.

    inside: of each node. A record names the least of each side.
    """
    rank = np.cumsum(inside) - 1
    members = {node: {int(rank[node])} if inside[node] else set() for node in range(len(inside))}
    name = {node: node for node in members}  # of the set that a node names
    made = []
    for height, round_, a, b in merges.tolist():
        left, right = members[name[a]], members[name[b]]
        if left and right:
            p, q = sorted((min(left), min(right)))
            made.append((height, round_, p, q))
        into, gone = sorted((name[a], name[b]))
        members[into] |= members.pop(gone)
        for node, of in name.items():
            if of == gone:
                name[node] = into
    return np.array(made, MERGE_DTYPE)
