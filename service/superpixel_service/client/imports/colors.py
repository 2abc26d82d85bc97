"""Colours for classes that a file lists without one. frontend/src/imports/colors.js gives the same."""

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

from superpixel_service.client.exports import Class

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00", "#7f7f7f")
"""Okabe and Ito's colours, which people with colour blindness can distinguish."""

_GOLDEN_ANGLE = 137.508
_BYTE = 255


def unused_color(classes: Sequence[Class]) -> str:
    """A colour that none of the classes has."""
    used = {one.color.lower() for one in classes}
    for color in COLORS:
        if color not in used:
            return color
    # Multiples of the golden angle give hues far from all earlier ones; lightness alternates.
    for number in count(len(classes)):
        color = _color((number * _GOLDEN_ANGLE) % 360, 0.38 if number % 2 else 0.62)
        if color not in used:
            break
    return color


def _color(hue: float, light: float) -> str:
    channels = []
    for at in (0, 8, 4):
        k = (at + hue / 30) % 12
        value = light - 0.7 * min(light, 1 - light) * max(-1, min(k - 3, 9 - k, 1))
        channels.append(math.floor(_BYTE * value + 0.5))
    return "#" + bytes(channels).hex()


def hex_of(rgb: Any) -> str | None:
    """`#rrggbb` of a list of three bytes; None if it is not one."""
    if not isinstance(rgb, list) or len(rgb) != len("rgb"):
        return None
    if not all(type(one) is int and 0 <= one <= _BYTE for one in rgb):
        return None
    return "#" + bytes(rgb).hex()
