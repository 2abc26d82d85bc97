"""What commands send to and get from a segmenter: parameters, label maps, rejections."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters for every image.

    Attributes:
        counts: numbers of superpixels; empty: the whole base.
        compactness: weight of shape against colour.
        hierarchy: include every smaller count, not `counts` alone.
    """

    counts: tuple[int, ...]
    compactness: float
    hierarchy: bool


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result of one image.

    Attributes:
        spx: the label map, in the SPXL container.
        base_count: number of regions of the base partition.
        notices: notices about how the image was read.
    """

    spx: bytes
    base_count: int
    notices: tuple[str, ...]


class ImageRejected(Exception):
    """This image has no label map; other images may have one. The text names the image."""


class ImageSegmenter(Protocol):
    """Segments image files."""

    def algorithm_version(self) -> int:
        """The engine's version. Equal images, parameters and versions give equal maps."""

    def segment(self, image: Path) -> ImageResult:
        """Segment one image.

        Raises:
            ImageRejected: this image cannot be segmented.
            CommandFailed: no image can be segmented.
        """

    def segment_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, ImageResult | ImageRejected]]:
        """Segment many images. Results come as they finish. Only a few images are read ahead.

        Raises:
            CommandFailed: no further image can be segmented.
        """


def rejection(image: Path, field: str, text: str) -> ImageRejected:
    """The rejection of an image because of the request's field `field`, named as the command's flag."""
    flags = {"target_counts": "--counts: ", "compactness": "--compactness: "}
    return ImageRejected(f"{image}: {flags.get(field.split('[')[0], '')}{text}")
