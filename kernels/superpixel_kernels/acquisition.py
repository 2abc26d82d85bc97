"""Which superpixels to label next, by the predictions of a model (after Cai et al., CVPR 2021)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec import pool
from superpixel_kernels.errors import InvalidParameter

Uncertainty = Literal["best-second", "entropy"]
"""Uncertainty of a pixel; see `rank_regions`."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedRegions:
    """Superpixels of several images, the one to label first at the front.

    Attributes:
        image: (n,) int64: which of the images.
        region: (n,) int64: label of the superpixel in that image.
        score: (n,) float64: `uncertainty` times the weight of the predicted class, decreasing.
        uncertainty: (n,) float64: mean of the pixels'.
        predicted: (n,) int64: the most frequent class of its pixels, the smallest of several.
    """

    image: NDArray[np.int64]
    region: NDArray[np.int64]
    score: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    predicted: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image)


def rank_regions(
    labels: Sequence[NDArray[np.integer]],
    probabilities: Iterable[ArrayLike],
    *,
    labelled: Sequence[Iterable[int]] | None = None,
    uncertainty: Uncertainty = "best-second",
    balanced: bool = True,
    budget: int | None = None,
) -> RankedRegions:
    """Rank the superpixels of all images together, by uncertainty, rare classes first.

    The score of a superpixel is the mean uncertainty of its pixels times exp(-p), where p is the share of all
    superpixels of all images whose predicted class is its own (Cai et al., "Revisiting Superpixels for Active
    Learning in Semantic Segmentation With Realistic Annotation Costs", CVPR 2021).

    Args:
        labels: per image, (height, width) integers of at least 0.
        probabilities: per image, (height, width, classes) floats: a model's probabilities. Read once, one
            image at a time, so a generator that runs the model needs the memory of one image.
        labelled: per image, the superpixels that need no label any more; None: no superpixel has one.
        uncertainty: "best-second": the second largest probability over the largest; "entropy": the entropy
            over the log of the number of classes. Both are from 0 to 1.
        balanced: False: the weight of every class is 1.
        budget: the most superpixels to return; None: all.

    Raises:
        InvalidParameter: images, shapes or classes differ in number, or another argument is wrong.
    """
    if uncertainty not in ("best-second", "entropy"):
        raise InvalidParameter("uncertainty", f"must be 'best-second' or 'entropy', got {uncertainty!r}")
    if labelled is not None and len(labelled) != len(labels):
        raise InvalidParameter("labelled", f"must be about {len(labels)} images, got {len(labelled)}")
    if budget is not None and budget < 0:
        raise InvalidParameter("budget", f"must be at least 0, got {budget}")
    parts: list[tuple[NDArray[Any], ...]] = []
    doubts: list[NDArray[np.float64]] = []
    classes = None
    given = iter(probabilities)
    for at, image_labels in enumerate(labels):
        image = np.asarray(next(given, None))
        if image.ndim != 3 or image.dtype.kind != "f" or image.shape[2] < 2:
            raise InvalidParameter(
                "probabilities", f"{at}: must be (height, width, 2 or more classes) floats"
            )
        if classes not in (None, image.shape[2]):
            raise InvalidParameter(
                "probabilities", f"{at}: must have {classes} classes, got {image.shape[2]}"
            )
        classes = image.shape[2]
        doubt = pool(image_labels, _doubt(image, uncertainty))
        predicted = pool(image_labels, image.argmax(axis=2), "mode")
        regions = np.flatnonzero(~np.isnan(doubt))
        is_open = np.ones(len(doubt), np.bool_)
        if labelled is not None:
            is_open[_within(labelled[at], len(doubt))] = False
        parts.append((np.full(len(regions), at), regions, predicted[regions], is_open[regions]))
        doubts.append(doubt[regions])
    if next(given, None) is not None:
        raise InvalidParameter("probabilities", f"must be of {len(labels)} images, got more")
    if not parts:
        empty = np.zeros(0, np.int64)
        return RankedRegions(empty, empty, np.zeros(0), np.zeros(0), empty)
    images, regions, predicted, is_open = (np.concatenate(part) for part in zip(*parts, strict=True))
    doubt = np.concatenate(doubts)
    weights = (
        np.exp(-np.bincount(predicted) / len(predicted)) if balanced else np.ones(int(predicted.max()) + 1)
    )
    score = doubt * weights[predicted]
    left = np.flatnonzero(is_open)
    order = left[np.lexsort((regions[left], images[left], -score[left]))][:budget]
    return RankedRegions(images[order], regions[order], score[order], doubt[order], predicted[order])


def _doubt(probabilities: NDArray[np.floating], uncertainty: Uncertainty) -> NDArray[np.float64]:
    """(height, width): the uncertainty of each pixel."""
    values = probabilities.astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InvalidParameter("probabilities", "must be finite and at least 0")
    if uncertainty == "best-second":
        two = np.partition(values, -2, axis=2)[..., -2:]
        return two[..., 0] / np.where(two[..., 1] > 0, two[..., 1], 1)
    shares = values / np.maximum(values.sum(axis=2, keepdims=True), np.finfo(np.float64).tiny)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=2)
    doubt: NDArray[np.float64] = entropy / np.log(values.shape[2])
    return doubt


def _within(regions: Iterable[int], count: int) -> NDArray[np.int64]:
    named = np.fromiter(regions, np.int64)
    if named.size and not 0 <= named.min() <= named.max() < count:
        raise InvalidParameter("labelled", f"superpixels must be from 0 to {count - 1}")
    return named
