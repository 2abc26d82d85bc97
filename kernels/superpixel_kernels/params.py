"""The parameters of a segmentation, validated once."""

import math
from dataclasses import dataclass

from superpixel_kernels.errors import InvalidParameter

ALGORITHM_VERSION = 1
"""Changes whenever any output may change for the same pixels and parameters."""

MAX_PIXELS = 2**27
"""Largest image, in pixels: sizes of two regions multiply to at most 2**52, exact in a double."""

DEFAULT_COMPACTNESS = 10.0
"""At least as compact as SLIC at its own default (docs/algorithm.md)."""

MAX_COMPACTNESS = 100.0
"""Largest compactness; the smallest is 0."""


@dataclass(frozen=True, slots=True)
class SegmentParams:
    """What, beside the pixels, decides the superpixels.

    Attributes:
        compactness: shape against colour, 0 to 100, no unit; same sense and default as SLIC's m
            (Achanta et al., TPAMI 2012). 0 follows colour where it can; larger is squarer. Hierarchies of
            different compactness are not nested in one another.

    Raises:
        InvalidParameter: compactness is not a finite number from 0 to 100.
    """

    compactness: float = DEFAULT_COMPACTNESS

    def __post_init__(self) -> None:
        value = self.compactness
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidParameter("compactness", f"must be a number, got {type(value).__name__}")
        if not (math.isfinite(value) and 0 <= value <= MAX_COMPACTNESS):
            raise InvalidParameter("compactness", f"must be from 0 to {MAX_COMPACTNESS:g}, got {value!r}")
        object.__setattr__(self, "compactness", float(value))
