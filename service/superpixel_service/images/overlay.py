"""Draws the borders of superpixels on their photograph."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LINE = (255, 225, 40)
_SHADE = 0.45
_SMOOTH_PIXELS = 1 << 22
"""Largest picture, in pixels, with smoothed lines. In larger ones, lines of whole pixels look as good."""


def draw(photo: NDArray[np.uint8], labels: NDArray[np.int32], scale: int) -> NDArray[np.uint8]:
    """Enlarge the photograph `scale` times and draw lines between the superpixels.

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
    # Lines are drawn at four times the resolution and then reduced, which smooths them. A dark line under the
    # bright one keeps the pair visible on any colour.
    fine = 4 * scale
    line = cracks(labels.repeat(fine, axis=0).repeat(fine, axis=1))
    for grown, color, opacity in ((4, (0, 0, 0), _SHADE), (2, LINE, 1.0)):
        mask = Image.fromarray(grow(line, grown - 1)).convert("L").resize(size, Image.Resampling.BOX)
        alpha = np.asarray(mask)[..., np.newaxis] / 255 * opacity
        smooth += alpha * (np.array(color) - smooth)
    drawn: NDArray[np.uint8] = smooth.round().astype(np.uint8)
    return drawn


def cracks(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """A mask of the pixels on either side of a border between two labels; diagonals do not count."""
    line = np.zeros(labels.shape, bool)
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = labels[before] != labels[after]
        line[before] |= differs
        line[after] |= differs
    return line


def grow(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Widen `mask` by `pixels` on every side; diagonals do not count."""
    for _ in range(pixels):
        wider = mask.copy()
        for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
            wider[before] |= mask[after]
            wider[after] |= mask[before]
        mask = wider
    return mask
