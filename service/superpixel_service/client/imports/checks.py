"""Checks of files that may be damaged or hostile."""

import json
from typing import Any, NoReturn

from superpixel_kernels.codec import InvalidParameter

MAX_PIXELS = 2**27
"""Largest image that is read, in pixels: as the engine's largest image."""

MAX_COVERED = 2**31
"""Most pixels that the masks of one file may cover in all: a bound on the time that a small file can take."""

_SHOWN = 40


def fail(field: str, text: str) -> NoReturn:
    """Reject the file.

    Args:
        field: the place in the file, as `annotations[3].segmentation`.
        text: what would be right.
    """
    raise InvalidParameter(field, text)


def check_size(field: str, width: Any, height: Any) -> tuple[int, int]:
    """Width and height, checked before anything of that size is allocated."""
    sizes = _whole(width), _whole(height)
    if not all(1 <= size <= MAX_PIXELS for size in sizes) or sizes[0] * sizes[1] > MAX_PIXELS:
        fail(field, f"must be 1 to {MAX_PIXELS} pixels in all, got {shown(width)} x {shown(height)}")
    return sizes


def _whole(value: Any) -> int:
    """The value if it is a whole number, else 0."""
    return int(value) if is_number(value) and abs(value) < 2**53 and value == int(value) else 0


def is_number(value: Any) -> bool:
    """Whether the value is a number of JSON that is not NaN."""
    return type(value) in {int, float} and value == value


def as_list(field: str, value: Any) -> list[Any]:
    """The value, which must be a list."""
    return value if isinstance(value, list) else fail(field, f"must be a list, got {shown(value)}")


def as_text(value: Any) -> str | None:
    """The value if it is a string, else None."""
    return value if isinstance(value, str) else None


def shown(value: Any) -> str:
    """The value, for an error text."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = str(type(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
