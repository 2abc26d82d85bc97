"""Arithmetic whose results are the same, bit for bit, in Python and in frontend/src/smart/arithmetic.js.

It uses only operations that IEEE 754 rounds exactly, in a stated order. `math.log`, `**` and their
counterparts in JavaScript may differ in the last bit.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LN2 = 0.6931471805599453
_SQRT2 = 1.4142135623730951

CURVE = 4096
"""Scale of the values of `curve_of`."""

_LEVELS = 16384
# Rows X, Y, Z of the sRGB matrix (IEC 61966-2-1), each divided by the white point's and scaled to 65536.
_MATRIX = ((28435, 24656, 12445), (13933, 46871, 4732), (1162, 7174, 57200))


def ln(x: Floats) -> Floats:
    """The natural logarithm of positive numbers, to about 1e-10."""
    mantissa, exponent = np.frexp(x)  # mantissa in [0.5, 1)
    mantissa, exponent = mantissa * 2.0, exponent - 1
    high = mantissa > _SQRT2
    mantissa = np.where(high, mantissa * 0.5, mantissa)
    exponent = np.where(high, exponent + 1, exponent)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    t = s * s
    series = np.full_like(t, 1.0 / 11.0)
    for divisor in (9.0, 7.0, 5.0, 3.0, 1.0):
        series = series * t + 1.0 / divisor
    result: Floats = 2.0 * s * series + exponent * LN2
    return result


def ln1(x: float) -> float:
    """`ln` of one number."""
    return float(ln(np.array([x]))[0])


def curve_of(rgb: NDArray[np.uint8]) -> Ints:
    """The values f(X), f(Y), f(Z) of the CIELAB formulas (CIE 15), times `CURVE`, as integers.

    Args:
        rgb: (..., 3) sRGB bytes.
    """
    linear, curve = _tables()
    light = linear[rgb]
    rows = [curve[(light[..., 0] * r + light[..., 1] * g + light[..., 2] * b) >> 18] for r, g, b in _MATRIX]
    return np.stack(rows, axis=-1)


def lab_of(sums: Floats, areas: Floats) -> Floats:
    """116 f(Y), a* and b* of mean colours.

    Args:
        sums: (n, 3) sums of the values of `curve_of`.
        areas: (n,) how many values each sum has.
    """
    x, y, z = (sums[:, channel] / areas for channel in range(3))
    return np.stack([116.0 * y / CURVE, 500.0 * (x - y) / CURVE, 200.0 * (y - z) / CURVE], axis=1)


@cache
def _tables() -> tuple[Ints, Ints]:
    """Linear light of each byte, 0 to 65535; f of each of the `_LEVELS` amounts of light."""
    value = np.arange(256) / 255
    # No value lies so near to a half that the last bits of the power matter.
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.floor(light * 65535 + 0.5).astype(np.int64)
    t = (np.arange(_LEVELS) + 0.5) / _LEVELS
    root = 0.3 + 0.7 * t
    for _ in range(6):  # Halley's method for the cube root
        cube = root * root * root
        root = root * (cube + 2.0 * t) / (2.0 * cube + t)
    f = np.where(t > 216 / 24389, root, t * 24389.0 / 27.0 / 116.0 + 16.0 / 116.0)
    return linear, np.floor(f * CURVE + 0.5).astype(np.int64)
