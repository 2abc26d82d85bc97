"""Guidance for tests: arguments of `Guidance`, and the same for the reference."""

from collections.abc import Callable
from typing import Any

import numpy as np

from superpixel_kernels import Guidance
from tests.kernels import golden_guidance, reference

Arguments = dict[str, Any]


def reference_maps(arguments: Arguments, height: int, width: int) -> reference.guidance.Maps:
    """What the reference takes: the same arguments, with the maps scaled to the picture by its own rule."""
    maps = {
        name: reference.guidance.scaled(value, width, height) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    return reference.guidance.Maps(**maps)


def reference_trace(image: Any, arguments: Arguments, compactness: float = 10.0) -> reference.Trace:
    return reference.trace(image, compactness, reference_maps(arguments, *image.shape[:2]))


def _blobs(random: np.random.Generator, height: int, width: int, labels: int) -> Any:
    """A label map of rough discs, one over the other."""
    y, x = np.indices((height, width))
    made = np.zeros((height, width), np.int64)
    for label in range(1, labels + 1):
        center_y, center_x = random.integers(0, height), random.integers(0, width)
        radius = random.integers(1, max(2, max(height, width) // 3))
        made[(y - center_y) ** 2 + (x - center_x) ** 2 < radius**2] = label
    return made


def any_guidance(random: np.random.Generator, height: int, width: int) -> Arguments:
    """Random maps of any size, kind and combination, neutral ones among them."""

    def size() -> tuple[int, int]:
        if random.random() < 0.7:
            return height, width
        return int(random.integers(1, 2 * height + 2)), int(random.integers(1, 2 * width + 2))

    def strengths() -> Any:
        shape = size()
        kinds: list[Callable[[], Any]] = [
            lambda: random.integers(0, 256, shape),
            lambda: 255 * (random.random(shape) < 0.2),
            lambda: np.full(shape, random.integers(0, 256)),
            lambda: golden_guidance.edges(shape[1], shape[0]),
        ]
        return kinds[random.integers(len(kinds))]().astype(np.uint8)

    def labels() -> Any:
        shape = size()
        kinds: list[Callable[[], Any]] = [
            lambda: _blobs(random, *shape, labels=6),
            lambda: random.integers(0, 3, shape),
            lambda: random.integers(0, 2**31, shape),
            lambda: golden_guidance.hash_prior(shape[1], shape[0]),
            lambda: np.full(shape, 2**31 - 1),
        ]
        made = kinds[random.integers(len(kinds))]()
        return made.astype([np.int32, np.int64, np.uint32, np.uint64][random.integers(4)])

    arguments: Arguments = {}
    if random.random() < 0.6:
        arguments |= {"edges": strengths(), "edge_weight": int(random.integers(0, 9))}
    if random.random() < 0.7:
        mode = ["soft", "hard"][random.integers(2)]
        arguments |= {"prior": labels(), "prior_mode": mode, "prior_weight": int(random.integers(0, 513))}
    if random.random() < 0.6:
        arguments["importance"] = strengths()
    return arguments


def guidance_of(arguments: Arguments) -> Guidance:
    return Guidance(**arguments)
