"""Describes the first difference between two traces of the engine's stages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = ("L", "A", "B")
FIELDS = {
    "centers": ("L", "A", "B", "4x", "4y"),
    "nodes": ("n", "sL", "sA", "sB"),
    "edges": ("a", "b", "len", "cs"),
    "merges": ("height bits", "round", "a", "b"),
}


def first_difference(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Describe where `actual` first differs from `expected`, in the order of the stages; None if nowhere.

    Both are as `superpixel_kernels.cpu._engine.trace` returns them. A difference in one stage causes those
    after it, so only the first one is described.
    """
    stages = [("color", ()), ("smooth", ())]
    stages += [(stage, (i,)) for i in range(len(expected["assign"])) for stage in ("centers", "assign")]
    stages += [(stage, ()) for stage in ("base", "nodes", "edges", "merges")]
    for stage, iteration in stages:
        if stage not in actual:
            return f"{stage}: missing"
        one, other = actual[stage], expected[stage]
        name = stage
        if iteration:
            if len(one) != len(other):
                return f"{stage}: {len(one)} iterations instead of {len(other)}"
            one, other = one[iteration[0]], other[iteration[0]]
            name = f"{stage}, iteration {iteration[0]}"
        difference = _first(stage, np.asarray(one), np.asarray(other))
        if difference is not None:
            return f"{name}: {difference}"
    if actual.get("rounds") != expected["rounds"]:
        return f"rounds: {actual.get('rounds')} instead of {expected['rounds']}"
    return None


def _first(stage: str, actual: NDArray[Any], expected: NDArray[Any]) -> str | None:
    if actual.dtype != expected.dtype:
        return f"dtype {actual.dtype} instead of {expected.dtype}"
    of_one_image = actual.shape[1:] == expected.shape[1:] and stage in ("nodes", "edges", "merges")
    if actual.shape != expected.shape and not of_one_image:
        return f"shape {actual.shape} instead of {expected.shape}"
    rows = min(len(actual), len(expected))
    differing = np.argwhere(actual[:rows] != expected[:rows])
    count = f"; {len(actual)} instead of {len(expected)} in all" if len(actual) != len(expected) else ""
    if not len(differing):
        return f"the first {rows} are equal{count}" if count else None
    place = tuple(differing[0].tolist())
    return (
        f"{_where(stage, place, expected)}: {actual[place]} instead of {expected[place]}"
        f" ({len(differing)} of {expected.size} values differ{count})"
    )


def _where(stage: str, place: tuple[int, ...], expected: NDArray[Any]) -> str:
    if stage in ("color", "smooth"):
        channel, y, x = place
        return f"{CHANNELS[channel]} of pixel x={x} y={y}"
    if stage in ("assign", "base"):
        y, x = place
        return f"label of pixel x={x} y={y}"
    row, column = place
    what = {"centers": "centre", "nodes": "region", "edges": "edge", "merges": "merge"}[stage]
    ends = {"edges": (0, 1), "merges": (2, 3)}.get(stage)
    names = f" ({expected[row, ends[0]]}, {expected[row, ends[1]]})" if ends else ""
    return f"{FIELDS[stage][column]} of {what} {row}{names}"
