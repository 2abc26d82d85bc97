"""Images that take as long as a test wants, on any machine: the engine holds them."""

import functools
import time
from collections.abc import Callable

import superpixel_kernels as kernels
from tests.service.images import encoded, scene

PROGRAM = "tests.service.held_server"
"""`superpixel serve`, for `running_server`: the engine holds a held image until its call ends, or until there
is the file that the environment variable `RELEASE` names."""

RELEASE = "HELD_IMAGES_UNTIL"

_ROWS = 1000


@functools.cache
def image() -> bytes:
    """A held image: a file of 1400x1000 pixels. No other image of these tests has as many rows."""
    return encoded(scene(1400, _ROWS), compress_level=1)


def holding(released: Callable[[], bool]) -> Callable[..., kernels.Hierarchy]:
    """`kernels.segment`, but with a held image it first takes a step per millisecond until `released`."""
    whole = kernels.segment

    def segment(
        pixels: object, *arguments: object, cancel: kernels.CancelToken | None = None, **named: object
    ) -> kernels.Hierarchy:
        while cancel is not None and pixels.shape[0] == _ROWS and not released():  # type: ignore[attr-defined]
            cancel.begin_step()
            time.sleep(0.001)
        return whole(pixels, *arguments, cancel=cancel, **named)  # type: ignore[arg-type]

    return segment
