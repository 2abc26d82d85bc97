"""The parameters of a segmentation, and their limits."""

import math
from dataclasses import dataclass

from superpixel_kernels.errors import InvalidParameter

ALGORITHM_VERSION = 1
"""Changes if any output may change for the same pixels and parameters."""

MAX_PIXELS = 2**27
"""Largest image, in pixels. The product of two regions' sizes is then at most 2**52, exact in a double."""

DEFAULT_COMPACTNESS = 10.0
"""At this value superpixels are at least as compact as SLIC's at its default (docs/algorithm.md)."""

MAX_COMPACTNESS = 100.0
"""Largest compactness; the smallest is 0."""


@dataclass(frozen=True, slots=True)
class SegmentParams:
    """The parameters of a segmentation.

    Attributes:
        compactness: weight of shape against colour, 0 to 100, no unit; same meaning and default as SLIC's m
            (Achanta et al., TPAMI 2012). 0: shape follows colour; larger values give squarer superpixels.
            Superpixels of different compactness are not nested in each other.

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
