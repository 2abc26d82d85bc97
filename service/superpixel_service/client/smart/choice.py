"""From scores to the leaves that change: the best set of whole nodes, as far as the click reaches."""

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.smart.arithmetic import Floats, Ints
from superpixel_service.client.smart.features import Reached
from superpixel_service.client.smart.scene import Scene

SCALE = 1024
"""Scores are rounded to 1/1024: sums of them are exact in any order."""

SOURCE_SCORE = 12

MAX_GROW = 5.0


def rounded(score: float) -> int:
    """A score as a whole number."""
    return int(np.floor(score * SCALE + 0.5))


def scores_of(reached: Reached, scores: Floats) -> Ints:
    """Return (L,): scores as whole numbers, those of the sources, and 0 for leaves that are not able.

    Args:
        reached: what may change.
        scores: of the leaves that are able, in ascending order.
    """
    whole = np.zeros(len(reached.able), np.int64)
    whole[reached.able] = np.floor(scores * SCALE + 0.5).astype(np.int64)
    whole[reached.sources] = SOURCE_SCORE * SCALE
    return whole


def choose(scene: Scene, reached: Reached, scores: Ints) -> NDArray[np.bool_]:
    """Return (L,): the sources, and the leaves that change with them.

    A node is taken whole or left, at a price of one mean leaf of score 1, so that few whole nodes win over
    many scraps. Nodes without an able leaf are free.

    Args:
        scene: the leaves and their tree.
        reached: what may change.
        scores: (L,) as `scores_of` gives them; 0 if not able.
    """
    leaves = scene.leaves
    able = reached.able
    price = SCALE * (scene.samples // leaves)
    gains = np.where(able, scores * scene.areas[:leaves].astype(np.int64), 0)
    # For a node: its gain if taken whole; the best that it can give; 1: take it, 0: leave it, 2: split it.
    gain = gains.tolist()
    cost = (able * price).tolist()
    best = np.maximum(gains, 0)
    best = (best - able * price).tolist()
    state = (gains > 0).astype(np.int64).tolist()
    pairs = scene.children.tolist()
    for a, b in pairs:
        whole = gain[a] + gain[b]
        fee = cost[a] or cost[b]
        pure = (max(0, whole)) - fee
        split = best[a] + best[b]
        gain.append(whole)
        cost.append(fee)
        if pure >= split:
            best.append(pure)
            state.append(1 if whole > 0 else 0)
        else:
            best.append(split)
            state.append(2)
    for node in range(2 * leaves - 2, leaves - 1, -1):
        if state[node] != 2:
            a, b = pairs[node - leaves]
            state[a] = state[b] = state[node]
    taken = (np.array(state[:leaves]) == 1) & able
    return connected(scene, reached.sources, taken)


def choose_node(scene: Scene, reached: Reached, grow: float) -> NDArray[np.bool_]:
    """Return the same without a scorer: an ancestor of the click, larger the more it grows.

    `grow` of 0 or less takes the leaf, 5 the whole view; between them, the area grows geometrically.
    """
    c = reached.sources[0]
    share = min(max(grow, 0.0), MAX_GROW) / MAX_GROW
    most = scene.log_area[c] * (1.0 - share)
    node = max((each for each in scene.path(c) if scene.log_area[each] <= most), default=c)
    taken = np.zeros(scene.leaves, np.bool_)
    taken[scene.members(node)] = True
    return connected(scene, reached.sources, taken & reached.able)


def connected(scene: Scene, sources: list[int], taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The sources, and the taken leaves that are connected to one."""
    open_ = taken.tolist()
    found = np.zeros(scene.leaves, np.bool_)
    todo = list(sources)
    for source in sources:
        open_[source] = False
    reached = list(sources)
    while todo:
        for neighbor in scene.adjacency[todo.pop()]:
            if open_[neighbor]:
                open_[neighbor] = False
                todo.append(neighbor)
                reached.append(neighbor)
    found[reached] = True
    return found
