"""The clicks of one person on one object after another."""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import OUTSIDE, InvalidParameter, LabelMap
from superpixel_service.client.smart.arithmetic import Ints
from superpixel_service.client.smart.choice import MAX_GROW, choose, choose_node, rounded, scores_of
from superpixel_service.client.smart.features import Reached, Work, features, reach
from superpixel_service.client.smart.samples import Box, finest_with_outside
from superpixel_service.client.smart.scene import look
from superpixel_service.client.smart.scorer import Scorer, default_scorer


class HasLabelMap(Protocol):
    """Has a label map, as a client's `Segmentation` does."""

    @property
    def label_map(self) -> LabelMap:
        """The decoded label map."""


@dataclass(slots=True, eq=False)
class _Pending:
    """The last click: what it may change, the scores without growth, and the leaves that would change."""

    reached: Reached
    scores: Ints
    flips: Ints


class SmartSelect:
    """Selects an object of an image click by click, from the tree and the colours of its superpixels."""

    def __init__(
        self,
        source: LabelMap | HasLabelMap,
        count: int,
        image: NDArray[np.uint8] | None = None,
        *,
        box: Box | None = None,
        weights: Scorer | Mapping[str, Any] | str | None = "default",
    ) -> None:
        """Measure a level.

        Args:
            source: the superpixels, with their hierarchy. Pixels outside a mask belong to no object.
            count: superpixels of the level that clicks work on. About 3,000 suit: a click takes a time that
                grows with it.
            image: (height, width, 3) uint8 RGB of the box: as large as the box, or smaller. None: the colours
                of the regions in the map.
            box: x0, y0, x1, y1 in pixels: the part of the image that is in view. Other regions do not exist.
                None: everything.
            weights: of the scorer: "default", the content of a file of `train-smart`, or None: without a
                scorer, a click takes one superpixel, and `grow` takes larger ones.

        Raises:
            InvalidParameter: the source has no hierarchy or not this level, or another argument is wrong.
        """
        label_map = source if isinstance(source, LabelMap) else source.label_map
        self.count = count
        self._scene = look(label_map, count, image, box)
        self._lut = label_map.cut(count)
        self._labels = finest_with_outside(label_map)
        if isinstance(weights, str):
            if weights != "default":
                raise InvalidParameter("weights", f'must be "default", a mapping or None, got {weights!r}')
            weights = default_scorer()
        self._scorer = weights if weights is None or isinstance(weights, Scorer) else Scorer.of(weights)
        self._work = Work(np.zeros(self._scene.leaves, np.bool_))
        self._pending: _Pending | None = None

    def click(self, x: float, y: float, *, positive: bool = True, grow: float = 0.0) -> NDArray[np.int32]:
        """Find what a click would change. Nothing changes before `accept`.

        Args:
            x: column of the point, in pixels; may be fractional.
            y: row of the point.
            positive: whether to add to the object; else to take away from it.
            grow: -5 to 5: more or less than the click would take.

        Returns:
            The regions of the level that would change, ascending; none outside the image or the mask.

        Raises:
            InvalidParameter: `grow` is out of range.
        """
        height, width = self._labels.shape
        label = int(self._labels[int(y), int(x)]) if 0 <= x < width and 0 <= y < height else OUTSIDE
        regions = [] if label == OUTSIDE else [int(self._lut[label])]
        return self.touch(regions, positive=positive, grow=grow)

    def touch(self, regions: Iterable[int], *, positive: bool = True, grow: float = 0.0) -> NDArray[np.int32]:
        """Find what a stroke over these regions of the level would change; the first is where it began.

        Arguments and errors as for `click`.
        """
        shift = _shift(grow)
        scene, work = self._scene, self._work
        named = [operator.index(region) for region in regions]  # accepts NumPy's integers, rejects floats
        if any(not 0 <= region < self.count for region in named):
            raise InvalidParameter("regions", f"must be from 0 to {self.count - 1}")
        sources = [int(leaf) for leaf in dict.fromkeys(scene.leaf_of[named].tolist()) if leaf >= 0]
        self._pending = None
        if not sources:
            return np.zeros(0, np.int32)
        reached = reach(scene, work, sources, positive)
        scores = np.zeros(scene.leaves, np.int64)
        if self._scorer is not None:
            scores = scores_of(reached, self._scorer(features(scene, work, reached)))
        self._pending = _Pending(reached, scores, self._flips(reached, scores, grow, shift))
        return self._named(self._pending.flips)

    def regrow(self, grow: float) -> NDArray[np.int32]:
        """Grow or shrink the last click: as `click` at the same point, but quicker.

        Raises:
            InvalidParameter: `grow` is out of range.
        """
        shift = _shift(grow)
        pending = self._pending
        if pending is None:
            return np.zeros(0, np.int32)
        pending.flips = self._flips(pending.reached, pending.scores, grow, shift)
        return self._named(pending.flips)

    def accept(self) -> None:
        """Take the last click into the object, its mark included."""
        if self._pending is None:
            return
        self._work.take(self._pending.flips, self._pending.reached)
        self._pending = None

    def reset(self) -> None:
        """Begin another object: nothing is chosen, and there are no marks."""
        self._work = Work(np.zeros(self._scene.leaves, np.bool_))
        self._pending = None

    @property
    def chosen(self) -> NDArray[np.int32]:
        """The regions of the level that belong to the object, ascending."""
        return self._named(np.flatnonzero(self._work.chosen))

    def _flips(self, reached: Reached, scores: Ints, grow: float, shift: int) -> Ints:
        scene = self._scene
        if self._scorer is None:
            taken = choose_node(scene, reached, grow)
        else:
            taken = choose(scene, reached, np.where(reached.able, scores + shift, 0))
        return np.flatnonzero(taken & (self._work.chosen != reached.positive))

    def _named(self, leaves: Ints) -> NDArray[np.int32]:
        return self._scene.regions[leaves].astype(np.int32)


def _shift(grow: float) -> int:
    if not -MAX_GROW <= grow <= MAX_GROW:
        raise InvalidParameter("grow", f"must be from -{MAX_GROW:g} to {MAX_GROW:g}, got {grow}")
    return rounded(grow)
