"""The results of comparing superpixels of ours with those of peers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics import Quality, mean_quality


@dataclass(frozen=True, slots=True)
class Duel:
    """The quality of a peer's label map, and of ours with as many labels.

    Attributes:
        count: real count of both maps.
        peer: quality of the peer's map.
        ours: quality of ours.
    """

    count: float
    peer: Quality
    ours: Quality


@dataclass(frozen=True, slots=True)
class Result:
    """The measures of one photograph, or their means over several.

    Attributes:
        ours: by count.
        duels: by peer, then by wanted count.
        nesting: by implementation, the mean nesting error over pairs of successive wanted counts.
    """

    ours: dict[int, Quality]
    duels: dict[str, dict[int, Duel]]
    nesting: dict[str, float]


def mean_result(results: Sequence[Result]) -> Result:
    """Return the mean of each figure."""
    first = results[0]
    return Result(
        ours={count: mean_quality([each.ours[count] for each in results]) for count in first.ours},
        duels={
            name: {wanted: _mean_duel([each.duels[name][wanted] for each in results]) for wanted in wanteds}
            for name, wanteds in first.duels.items()
        },
        nesting={name: float(np.mean([each.nesting[name] for each in results])) for name in first.nesting},
    )


def _mean_duel(duels: Sequence[Duel]) -> Duel:
    return Duel(
        count=float(np.mean([duel.count for duel in duels])),
        peer=mean_quality([duel.peer for duel in duels]),
        ours=mean_quality([duel.ours for duel in duels]),
    )
