"""Test images, all made by formula or from a fixed seed: (height, width, 3) uint8 unless said otherwise."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def _grid(width: int, height: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    y, x = np.indices((height, width))
    return y, x


def _rgb(*channels: npt.NDArray[np.integer]) -> Image:
    return np.stack([channel & 255 for channel in channels], axis=-1).astype(np.uint8)


def _where(mask: npt.NDArray[np.bool_], color: tuple[int, int, int], other: tuple[int, int, int]) -> Image:
    return np.where(mask[..., np.newaxis], np.array(color, np.uint8), np.array(other, np.uint8))


def golden(width: int, height: int) -> Image:
    """The image of the golden values."""
    y, x = _grid(width, height)
    return _rgb(5 * x + 3 * y, x * y, (x ^ y) * 7)


def dots(width: int, height: int) -> Image:
    """Equal squares on a ground: they join it one by one, until a late round is collective."""
    y, x = _grid(width, height)
    return _where((x % 16 < 6) & (y % 16 < 6), (250, 30, 10), (20, 20, 60))


def islands(width: int, height: int) -> Image:
    """Squares that hold out against their ground: a collective round with thousands of edges left."""
    y, x = _grid(width, height)
    return _where((x % 20 < 14) & (y % 20 < 14), (0, 0, 255), (0, 255, 0))


def flat(width: int, height: int) -> Image:
    return np.full((height, width, 3), (90, 120, 200), np.uint8)


def noise(width: int, height: int, seed: int = 1) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def primaries(width: int, height: int) -> Image:
    """Noise of the eight corners of the RGB cube: the largest colour distances there are."""
    return 255 * np.random.default_rng(4).integers(0, 2, (height, width, 3), np.uint8)


def checkerboard(width: int, height: int, cell: int) -> Image:
    y, x = _grid(width, height)
    return _where((x // cell + y // cell) % 2 == 0, (255, 255, 255), (0, 0, 0))


def linear_gradient(width: int, height: int) -> Image:
    y, x = _grid(width, height)
    return _rgb(255 * x // width, 255 * y // height, 255 * (x + y) // (width + height))


def quadratic_gradient(width: int, height: int) -> Image:
    y, x = _grid(width, height)
    return _rgb(255 * x * x // width**2, 255 * y * y // height**2, 255 * x * y // (width * height))


def stripes(width: int, height: int, *, vertical: bool) -> Image:
    """Stripes one pixel wide."""
    y, x = _grid(width, height)
    return _where((x if vertical else y) % 2 == 0, (250, 200, 40), (10, 40, 90))


def spiral(width: int, height: int) -> Image:
    """A square spiral, one region winding around another: arms 3 pixels wide, 3 apart."""
    arm = 3
    mask = np.zeros((height, width), bool)
    top, left, bottom, right = 0, 0, height, width
    while top < bottom and left < right:
        mask[top : top + arm, left:right] = True
        mask[top:bottom, right - arm : right] = True
        mask[max(top, bottom - arm) : bottom, left:right] = True
        mask[top + 2 * arm : bottom, left : left + arm] = True
        mask[top + 2 * arm : top + 3 * arm, left : left + 2 * arm] = True
        top, left, bottom, right = top + 2 * arm, left + 2 * arm, bottom - 2 * arm, right - 2 * arm
    return _where(mask, (240, 240, 60), (30, 60, 120))


def random_dots(width: int, height: int) -> Image:
    """Single pixels of random colour on a ground."""
    random = np.random.default_rng(2)
    image = np.full((height, width, 3), 70, np.uint8)
    mask = random.random((height, width)) < 0.05
    image[mask] = random.integers(0, 256, (np.count_nonzero(mask), 3), np.uint8)
    return image


def photo(width: int, height: int) -> Image:
    """Like a photograph: smooth shading, a few objects with sharp borders, fine texture."""
    random = np.random.default_rng(3)
    y, x = _grid(width, height)
    image = np.stack(
        [60 + 120 * x / width, 90 + 80 * y / height, 160 - 60 * (x + y) / (width + height)], axis=-1
    )
    for _ in range(12):
        center_x, center_y = random.uniform(0, width), random.uniform(0, height)
        radius_x, radius_y = random.uniform(0.05, 0.25, 2) * max(width, height)
        inside = ((x - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2 < 1
        image[inside] = 0.3 * image[inside] + 0.7 * random.uniform(0, 255, 3)
    image += random.normal(0, 6, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def gray(width: int, height: int) -> Image:
    """(height, width): one channel."""
    return np.ascontiguousarray(photo(width, height)[:, :, 1])


def rgba(width: int, height: int) -> Image:
    """(height, width, 4): with alpha from clear to opaque."""
    y, x = _grid(width, height)
    return np.dstack([photo(width, height), (255 * (x + y) // (width + height)).astype(np.uint8)])


SMALL: dict[str, Callable[[], Image]] = {
    "golden-60x40": partial(golden, 60, 40),
    "dots-64x48": partial(dots, 64, 48),
    "flat-23x19": partial(flat, 23, 19),
    "noise-37x41": partial(noise, 37, 41),
    "primaries-41x37": partial(primaries, 41, 37),
    "checkerboard-1-33x20": partial(checkerboard, 33, 20, 1),
    "checkerboard-2-33x20": partial(checkerboard, 33, 20, 2),
    "checkerboard-8-50x34": partial(checkerboard, 50, 34, 8),
    "linear-gradient-48x32": partial(linear_gradient, 48, 32),
    "quadratic-gradient-47x31": partial(quadratic_gradient, 47, 31),
    "vertical-stripes-31x22": partial(stripes, 31, 22, vertical=True),
    "horizontal-stripes-31x22": partial(stripes, 31, 22, vertical=False),
    "spiral-61x53": partial(spiral, 61, 53),
    "random-dots-53x47": partial(random_dots, 53, 47),
    "photo-80x60": partial(photo, 80, 60),
    "gray-45x35": partial(gray, 45, 35),
    "rgba-45x35": partial(rgba, 45, 35),
    "noise-1x1": partial(noise, 1, 1),
    "noise-2x1": partial(noise, 2, 1),
    "noise-1x2": partial(noise, 1, 2),
    "noise-2x2": partial(noise, 2, 2),
    "noise-3x3": partial(noise, 3, 3),
    "noise-5x7": partial(noise, 5, 7),
    "golden-13x17": partial(golden, 13, 17),
    "golden-101x1": partial(golden, 101, 1),
    "golden-1x97": partial(golden, 1, 97),
    "noise-2x61": partial(noise, 2, 61),
    "photo-17x67": partial(photo, 17, 67),
}
"""Quick for every implementation, grid step 4."""

LARGE: dict[str, Callable[[], Image]] = {
    "photo-311x293": partial(photo, 311, 293),  # grid step 5
    "dots-480x320": partial(dots, 480, 320),  # grid step 6, a collective round
    "photo-487x397": partial(photo, 487, 397),  # grid step 7
    "spiral-501x467": partial(spiral, 501, 467),  # grid step 8
    "islands-601x503": partial(islands, 601, 503),  # grid step 8, a collective round of many merges
    "primaries-521x443": partial(primaries, 521, 443),  # grid step 8, the largest distances
}
"""One for each larger grid step; seconds in the reference."""
