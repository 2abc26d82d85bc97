"""Superpixels drawn on the photograph they belong to."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LINE = (255, 225, 40)
_SHADE = 0.45
_SMOOTH_PIXELS = 1 << 22
"""Largest picture, in pixels, whose lines are smoothed; above it, lines of whole pixels look as well."""


def draw(photo: NDArray[np.uint8], labels: NDArray[np.int32], scale: int) -> NDArray[np.uint8]:
    """The photograph, `scale` times as large, with lines between the superpixels.

    Args:
        photo: (height, width, 3) sRGB.
        labels: (height, width).
        scale: at least 1.

    Returns:
        (height * scale, width * scale, 3).
    """
    height, width = labels.shape
    size = (width * scale, height * scale)
    picture = np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    if labels.size * scale**2 > _SMOOTH_PIXELS:
        line = cracks(labels.repeat(scale, axis=0).repeat(scale, axis=1))
        shade = grow(line, 1)
        picture[shade] = (picture[shade] * (1 - _SHADE)).round()
        picture[line] = LINE
        return picture
    smooth = picture.astype(np.float64)
    # Lines run along the cracks between pixels: drawn four times as fine, and smoothed on the way down. A
    # dark one lies under the bright one, so that they show on any colour.
    fine = 4 * scale
    line = cracks(labels.repeat(fine, axis=0).repeat(fine, axis=1))
    for grown, color, opacity in ((4, (0, 0, 0), _SHADE), (2, LINE, 1.0)):
        mask = Image.fromarray(grow(line, grown - 1)).convert("L").resize(size, Image.Resampling.BOX)
        alpha = np.asarray(mask)[..., np.newaxis] / 255 * opacity
        smooth += alpha * (np.array(color) - smooth)
    drawn: NDArray[np.uint8] = smooth.round().astype(np.uint8)
    return drawn


def cracks(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Where a pixel's label differs from the next one's, to the right or below: on both sides."""
    line = np.zeros(labels.shape, bool)
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = labels[before] != labels[after]
        line[before] |= differs
        line[after] |= differs
    return line


def grow(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """`mask` made wider by `pixels` on every side."""
    for _ in range(pixels):
        wider = mask.copy()
        for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
            wider[before] |= mask[after]
            wider[after] |= mask[before]
        mask = wider
    return mask
