"""The photographs of the benchmarks, and people's segmentations of them."""

import argparse
import importlib
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.metrics import Labels, compact

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "SUPERPIXEL_BSDS"
DEFAULT_DATA = Path("../shared/data/bsds500-val")

SAMPLES = ("rocket", "chelsea", "astronaut")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photograph:
    """One photograph of a Berkeley Segmentation Data Set folder (Arbelaez et al., TPAMI 2011)."""

    folder: Path
    name: str

    @cached_property
    def image(self) -> Pixels:
        """RGB, (height, width, 3)."""
        return load_rgb(self.folder / "images" / f"{self.name}.jpg")

    @cached_property
    def truths(self) -> list[Labels]:
        """The segmentation of each person, with compact labels."""
        loadmat = importlib.import_module("scipy.io").loadmat
        people = loadmat(self.folder / "ground-truth" / f"{self.name}.mat")["groundTruth"][0]
        return [compact(person["Segmentation"][0, 0]) for person in people]


def add_data_arguments(parser: argparse.ArgumentParser, *, every: int | None = None) -> None:
    """Add `--data`, and `--every` if its default is given."""
    default = Path(os.environ.get(DATA_VARIABLE) or ROOT / DEFAULT_DATA)
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        help=f"folder with images/ and ground-truth/ (default: ${DATA_VARIABLE} or {DEFAULT_DATA})",
    )
    if every is not None:
        parser.add_argument(
            "--every",
            type=int,
            default=every,
            metavar="N",
            help="use every Nth photograph in the order of names, from the first (default: %(default)s)",
        )


def photographs(folder: Path, every: int = 1) -> list[Photograph]:
    """Return every Nth photograph in the order of names, from the first."""
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    if not names:
        raise SystemExit(f"no photographs in {folder / 'images'}: give --data or set ${DATA_VARIABLE}")
    return [Photograph(folder, name) for name in names[::every]]


def load_rgb(path: Path) -> Pixels:
    """Read an image file as RGB, (height, width, 3)."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def as_jpeg(image: Pixels) -> bytes:
    """Return (height, width, 3) RGB as a JPEG file of quality 90."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90)
    return out.getvalue()


def mosaic(folder: Path, width: int, height: int) -> Pixels:
    """Return (height, width, 3) RGB: the folder's photographs side by side at their own resolution.

    Upright photographs are transposed. Scaled-up photographs would be smoother than a camera's, and so easier
    to segment; a mosaic keeps the detail.
    """
    tiles = (_lying(photo.image) for photo in itertools.cycle(photographs(folder)))
    out = np.empty((height, width, 3), np.uint8)
    first = next(tiles)
    for top, left in itertools.product(range(0, height, first.shape[0]), range(0, width, first.shape[1])):
        place = out[top : top + first.shape[0], left : left + first.shape[1]]
        tile = first if top == left == 0 else next(tiles)
        place[:] = tile[: place.shape[0], : place.shape[1]]
    return out


def scaled_samples(width: int, height: int) -> Iterator[Pixels]:
    """Yield the `SAMPLES` of scikit-image, scaled to the size."""
    samples = importlib.import_module("skimage.data")
    for name in SAMPLES:
        image = Image.fromarray(getattr(samples, name)())
        yield np.array(image.resize((width, height), Image.Resampling.LANCZOS))


def _lying(image: Pixels) -> Pixels:
    return image if image.shape[1] >= image.shape[0] else image.transpose(1, 0, 2)
