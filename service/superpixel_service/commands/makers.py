"""Who makes label maps for the commands: this process, or a server. Both make the same ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from superpixel_service.commands.target import Target


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
    """A label map and what is to be said about it.

    Attributes:
        spx: the label map, in the SPXL container.
        notices: how the image was read, where that is not as usual.
    """

    spx: bytes
    base_count: int
    notices: tuple[str, ...]


class Refused(Exception):
    """There is no label map for this image; for others there may be. The text names the image."""


class Maker(Protocol):
    """Makes label maps of image files."""

    def algorithm_version(self) -> int:
        """Maps of one image, one compactness and one version are equal."""

    def make(self, image: Path) -> Made:
        """The label map of one image.

        Raises:
            Refused: there is none.
            CommandFailed: there will be none of any image.
        """

    def make_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, Made | Refused]]:
        """The label maps of many images, each as soon as it is there; few images are taken in advance.

        Raises:
            CommandFailed: there will be no more.
        """


def choose(parameters: Parameters, server: Target | None, jobs: int = 0) -> Maker:
    """The maker to use.

    Args:
        parameters: what is wanted of every image.
        server: which one; None: this process.
        jobs: images worked on at the same time; 0: what is best.
    """
    # Either brings in much that the other does not need.
    if server is None:
        from superpixel_service.commands.local import InProcess

        return InProcess(parameters, jobs)
    from superpixel_service.commands.remote import OnServer

    return OnServer(parameters, server, jobs)
