"""What the benchmarks of the annotation page share."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]


@contextmanager
def running_app(*arguments: str) -> Iterator[str]:
    """`superpixel app` with these arguments, on a free port; yields the address of the page."""
    command = [sys.executable, "-m", "superpixel_service", "app", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield next(line.split()[1] for line in process.stdout or () if line.startswith("page:"))
        finally:
            process.terminate()


@contextmanager
def running_chromium(path: str | None = None) -> Iterator[Browser]:
    """Chromium without a window; without a path, the one that is installed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path or shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            browser.close()


def mirrored_photograph(width: int, height: int) -> NDArray[np.uint8]:
    """Return a photograph of that size: a small one that is mirrored again and again."""
    with Image.open(ROOT / "examples" / "photos" / "astronaut.jpg") as file:
        photo = np.asarray(file)
    more = [(0, size - have) for size, have in zip((height, width), photo.shape, strict=False)]
    return np.pad(photo, (*more, (0, 0)), mode="symmetric")
