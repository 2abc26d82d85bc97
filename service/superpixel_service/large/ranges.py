"""Ranges of values as text."""

import math
import re
from collections.abc import Sequence

from superpixel_service.large.errors import LargeFailed
from superpixel_service.sample_ranges import PARTS, ROBUST, Range, RangeRule


def parse_rule(text: str) -> RangeRule:
    """Read LOW,HIGH (values), LOW%,HIGH% (percentiles), or auto.

    Raises:
        LargeFailed: the text is none of these.
    """
    if text == "auto":
        return ROBUST
    low, comma, high = (part.strip() for part in text.partition(","))
    if comma and low.endswith("%") and high.endswith("%"):
        shares = [_share(part[:-1]) for part in (low, high)]
        if None not in shares and shares[0] < shares[1]:  # type: ignore[operator]
            return RangeRule(None, shares[0] or 0, PARTS - (shares[1] or 0))
    elif comma:
        try:
            given = Range(float(low), float(high))
        except ValueError:
            given = Range(math.nan, math.nan)
        if math.isfinite(given.low) and math.isfinite(given.high) and given.low < given.high:
            return RangeRule(given)
    raise LargeFailed(
        "range: must be LOW,HIGH or LOW%,HIGH% (three decimals at most), LOW below HIGH, or auto; "
        f"got {text!r}",
        usage=True,
    )


def _share(text: str) -> int | None:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3})?", text, re.ASCII):
        return None
    whole, _, decimals = text.partition(".")
    share = int(whole) * 1000 + int(decimals.ljust(3, "0"))
    return share if share <= PARTS else None


def ranges_text(ranges: Sequence[tuple[float, float]]) -> str:
    """The ranges for people: one if all bands share it."""
    return ", ".join(str(Range(*limits)) for limits in dict.fromkeys(ranges))
