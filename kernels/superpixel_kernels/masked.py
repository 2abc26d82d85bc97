"""Superpixels of the part of an image that a mask selects (docs/algorithm.md)."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec import OUTSIDE
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.guidance import MAX_PRIOR_LABEL, FittedGuidance
from superpixel_kernels.hierarchy import Hierarchy, as_merges


def as_mask(mask: ArrayLike, height: int, width: int) -> NDArray[np.bool_] | None:
    """The mask of one call, a copy; None if it has no effect, because all pixels are inside.

    Raises:
        InvalidParameter: not (height, width) bool, or no pixel is inside.
    """
    try:
        array = np.asarray(mask)
    except ValueError as error:
        raise InvalidParameter("mask", "must be an array with rows of equal length") from error
    if array.shape != (height, width) or array.dtype != np.bool_:
        raise InvalidParameter("mask", f"must be ({height}, {width}) bool, got {array.shape} {array.dtype}")
    if not array.any():
        raise InvalidParameter("mask", "has no pixel inside")
    return None if array.all() else np.array(array, order="C")


def guidance_with_mask(guidance: FittedGuidance | None, mask: NDArray[np.bool_]) -> FittedGuidance:
    """Guidance whose hard prior separates the inside from the outside.

    Raises:
        InvalidParameter: the guidance has a soft prior, or a hard one with the largest label that there is.
    """
    if guidance is None:
        guidance = FittedGuidance(shape=(mask.shape[0], mask.shape[1]))
    return replace(guidance, prior=prior_with_mask(guidance.prior, guidance.is_hard, mask), prior_mode="hard")


def prior_with_mask(
    prior: NDArray[np.int32] | None, hard: bool, mask: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """0 outside the mask, and inside 1 + the label of a hard prior, or 1."""
    if prior is None:
        return mask.astype(np.int32)
    if not hard:
        raise InvalidParameter("mask", "cannot be combined with a soft prior; make it a hard one")
    if int(prior.max()) == MAX_PRIOR_LABEL:
        raise InvalidParameter("mask", f"with a hard prior, its labels must be below {MAX_PRIOR_LABEL}")
    return np.where(mask, prior + np.int32(1), np.int32(0))


def numbers_inside(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of each base region among those inside, in the same order; `OUTSIDE` for the others."""
    return np.where(inside, np.cumsum(inside, dtype=np.int32) - np.int32(1), np.int32(OUTSIDE))


class MaskedHierarchy(Hierarchy):
    """Nested superpixels of the pixels inside a mask: any count from 1 to their number.

    Attributes and methods are those of `Hierarchy`, about the pixels inside: label maps have `OUTSIDE` at all
    others.

    Attributes:
        mask: (height, width) bool, read-only: the pixels inside.
        prior_components: the number of 4-connected components of the mask; with a hard prior, of equal prior
            label in it. At this count they are the superpixels. At smaller counts superpixels consist of
            several of them, which may be apart.
    """

    def __init__(self, whole: Hierarchy, mask: NDArray[np.bool_]) -> None:
        inside = np.zeros(whole.base_count, np.bool_)
        inside[whole.base_labels[mask]] = True
        # No base region has pixels both inside and outside, because the prior separates them.
        base = numbers_inside(inside)[whole.base_labels]
        # A mask has an outside, so the prior that stands for it has at least two components.
        early = whole.base_count - (whole.prior_components or 1)
        rows, early = _engine.merges_inside(whole.merges.view(np.int32).reshape(-1, 4), inside, early)

        def make_pixel_merges(cancel: _engine.CancelToken | None) -> NDArray[np.int32]:
            of_all = whole.pixel_merges(cancel=cancel).view(np.int32).reshape(-1, 4)
            return _engine.merges_inside(of_all, mask.ravel(), 0)[0]

        super().__init__(
            whole._pixels,  # noqa: SLF001 - the base class's own
            base,
            as_merges(rows),
            whole.params,
            backend=whole.backend,
            threads=whole._threads,  # noqa: SLF001
            timings=whole.timings,
            make_pixel_merges=make_pixel_merges,
            prior_components=len(rows) + 1 - early,
        )
        mask.flags.writeable = False
        self.mask = mask
        self._whole = whole

    def __reduce__(self) -> tuple[Any, ...]:
        return MaskedHierarchy, (self._whole, self.mask)

    def cut(self, count: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.int32]:
        """The label map with exactly `count` superpixels inside the mask.

        Args:
            count: 1 to the number of pixels inside.
            cancel: as in `Hierarchy.cut`.

        Returns:
            (height, width) int32: labels 0..count-1 in raster order of first appearance, and `OUTSIDE`.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
        """
        nodes = self._nodes(self._checked_count("count", count), cancel)
        labels = np.full(self.shape, OUTSIDE, np.int32)
        labels[self.mask] = nodes.labels if nodes.is_pixels else nodes.labels[self._base_of_pixels()]
        return labels

    def _is_connected(self, count: int) -> bool:
        return count >= (self.prior_components or 1)

    def _base_of_pixels(self) -> NDArray[np.int32]:
        return self.base_labels[self.mask]

    @property
    def _pixel_count(self) -> int:
        return int(np.count_nonzero(self.mask))
