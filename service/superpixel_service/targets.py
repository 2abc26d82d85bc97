"""How many superpixels a request asks for: by number and by average size."""

import math
from dataclasses import dataclass

from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest

MAX_TARGETS = 32
"""Most target counts and areas of one request, together: a label map can carry this many levels."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a request, as sent.

    Attributes:
        counts: numbers of superpixels, in any order.
        areas: average superpixel sizes in pixels, in any order.
    """

    counts: tuple[int, ...]
    areas: tuple[float, ...]

    def check_number(self, include_hierarchy: bool) -> None:
        """Check that there are targets, and not too many.

        Args:
            include_hierarchy: whether the request asks for the tree, which needs no targets.

        Raises:
            InvalidRequest: there are none, or more than `MAX_TARGETS`.
        """
        if len(self.counts) + len(self.areas) > MAX_TARGETS:
            raise InvalidRequest(
                Reason.TARGETS_TOO_MANY,
                f"target_counts and target_areas together must have at most {MAX_TARGETS} entries",
                field="target_counts" if self.counts else "target_areas",
            )
        if not (self.counts or self.areas or include_hierarchy):
            raise InvalidRequest(
                Reason.TARGETS_MISSING,
                "say how many superpixels: target_counts, target_areas, or include_hierarchy for the whole "
                "base",
                field="target_counts",
            )

    def levels(self, pixels: int, *, masked: bool = False) -> tuple[int, ...]:
        """The distinct counts that the targets stand for, decreasing.

        Args:
            pixels: number of pixels that are segmented.
            masked: whether these are the pixels inside a mask; for errors.

        Raises:
            InvalidRequest: a count is not from 1 to `pixels`, or an area stands for no such count.
        """
        inside = " inside the mask" if masked else ""
        for index, count in enumerate(self.counts):
            if not 1 <= count <= pixels:
                raise InvalidRequest(
                    Reason.COUNT_OUT_OF_RANGE,
                    f"must be from 1 to the number of pixels{inside}, {pixels}",
                    field=f"target_counts[{index}]",
                )
        for index, area in enumerate(self.areas):
            if not (math.isfinite(area) and area > 0 and _count(pixels, area) <= pixels):
                raise InvalidRequest(
                    Reason.AREA_OUT_OF_RANGE,
                    "must be a finite number above 0 that stands for no more superpixels than there are "
                    f"pixels{inside}",
                    field=f"target_areas[{index}]",
                )
        by_area = {int(_count(pixels, area)) for area in self.areas}
        return tuple(sorted({*self.counts, *by_area}, reverse=True))


def _count(pixels: int, area: float) -> float:
    """The number of superpixels of `area` pixels each; infinity if a double cannot hold it."""
    quotient = pixels / area + 0.5
    return max(1.0, float(math.floor(quotient))) if math.isfinite(quotient) else math.inf
