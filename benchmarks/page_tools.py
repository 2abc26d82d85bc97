"""What the benchmarks of the annotation page share."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[1]


@contextmanager
def running_app() -> Iterator[str]:
    """`superpixel app` with a server of its own, on a free port; yields the address of the page."""
    command = [sys.executable, "-m", "superpixel_service", "app", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield next(line.split()[1] for line in process.stdout or () if line.startswith("page:"))
        finally:
            process.terminate()


def mirrored_photograph(width: int, height: int) -> NDArray[np.uint8]:
    """Return a photograph of that size: a small one that is mirrored again and again."""
    with Image.open(ROOT / "examples" / "photos" / "astronaut.jpg") as file:
        photo = np.asarray(file)
    more = [(0, size - have) for size, have in zip((height, width), photo.shape, strict=False)]
    return np.pad(photo, (*more, (0, 0)), mode="symmetric")
