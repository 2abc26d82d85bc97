"""What the commands ask for and get: parameters, label maps, rejections."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is wanted of every image.

    Attributes:
        counts: numbers of superpixels; empty: the whole base.
        hierarchy: keep every coarser count, not `counts` alone.
    """

    counts: tuple[int, ...]
    compactness: float
    hierarchy: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A label map.

    Attributes:
        spx: the label map, in the SPXL container.
        notices: how the image was read, if that is unusual.
    """

    spx: bytes
    base_count: int
    notices: tuple[str, ...]


class Refused(Exception):
    """There is no label map for this image; there may be for others. The text names the image."""


class Maker(Protocol):
    """Makes label maps of image files."""

    def algorithm_version(self) -> int:
        """The engine's version. Equal image, parameters and version give equal maps."""

    def make(self, image: Path) -> Made:
        """The label map of one image.

        Raises:
            Refused: there is none for this image.
            CommandFailed: there is none for any image.
        """

    def make_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, Made | Refused]]:
        """The label maps of many images, each as soon as it is ready. Few images are read in advance.

        Raises:
            CommandFailed: no further label map can be made.
        """


def refusal(image: Path, field: str, text: str) -> Refused:
    """A rejection: the request's field becomes the command's flag."""
    flags = {"target_counts": "--counts: ", "compactness": "--compactness: "}
    return Refused(f"{image}: {flags.get(field.split('[')[0], '')}{text}")
