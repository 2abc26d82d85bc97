"""Stage *color*: 8-bit sRGB to three integer planes close to CIE L*a*b*."""

import math

import numpy as np
import numpy.typing as npt


def _lin(byte: int) -> int:
    v = byte / 255
    g = v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
    return math.floor(65535 * g + 0.5)


def _f(index: int) -> int:
    v = index / 8191
    f = math.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116
    return math.floor(16384 * f + 0.5)


LIN: npt.NDArray[np.int32] = np.array([_lin(byte) for byte in range(256)], np.int32)
F: npt.NDArray[np.int32] = np.array([_f(index) for index in range(8192)], np.int32)


def rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Any accepted image as (height, width, 3): grey repeated, RGBA composited on white."""
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        c = image[:, :, :3].astype(np.int32)
        a = image[:, :, 3:].astype(np.int32)
        return ((c * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)
    return image


def color(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """(height, width[, channels]) uint8 to the planes L, A, B: (3, height, width) int16."""
    r, g, b = (LIN[channel].astype(np.int64) for channel in np.moveaxis(rgb(image), 2, 0))
    fx = F[(7110 * r + 6164 * g + 3110 * b) >> 17].astype(np.int64)
    fy = F[(3484 * r + 11717 * g + 1183 * b) >> 17].astype(np.int64)
    fz = F[(291 * r + 1793 * g + 14300 * b) >> 17].astype(np.int64)
    lightness = (464 * fy - 64 * 16384 + 8192) >> 14
    a = (2500 * (fx - fy) + 640 * 16384 + 8192) >> 14
    b = (1000 * (fy - fz) + 640 * 16384 + 8192) >> 14
    return np.stack([lightness, a, b]).astype(np.int16)
