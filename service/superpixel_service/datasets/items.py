"""The images of a data set, and the units in which they are worked on."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from superpixel_service.datasets.names import MAP_SUFFIX, suffix_of

_PIXELS_PER_BYTE = {".png": 1.0}
_LOSSY_PIXELS_PER_BYTE = 4.0
_UNKNOWN_PIXELS = 1 << 20

MAX_UNIT_IMAGES = 2048
MAX_UNIT_PIXELS = 256 << 20
"""Two minutes of one core, and what a killed run loses per core at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of the source: a file, or a part of one.

    Attributes:
        file: the address of the file.
        start: the first byte.
        length: number of bytes; None: to the end.
    """

    file: str
    start: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An image of the data set.

    Attributes:
        key: its name in the target; unique in the data set.
        address: what names it in the manifest. fsspec can open it.
        place: where its bytes are.
        version: what the source says about its content; empty: nothing.
        pixels: number of pixels, maybe estimated.
        maps: per map of guidance, the places to try, in order.
        error: why it has no result; empty: it has to be tried.
    """

    key: str
    address: str
    place: Place
    version: str = ""
    pixels: int = _UNKNOWN_PIXELS
    maps: dict[str, tuple[Place, ...]] | None = None
    error: str = ""

    @property
    def map_name(self) -> str:
        """The name of its label map."""
        return f"{self.key}{MAP_SUFFIX}"


@dataclass
class Found:
    """The result of a search.

    Attributes:
        items: the images.
        left_out: a message per thing that was left out on purpose.
        problems: a message per thing that could not be read.
    """

    items: list[Item] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unit:
    """Images that are committed together: one tar file and one part of the manifest.

    Attributes:
        name: depends on the images alone. A unit that is done twice overwrites its first result.
        items: the images.
    """

    name: str
    items: tuple[Item, ...]

    @property
    def pixels(self) -> int:
        """Number of pixels, maybe estimated."""
        return sum(item.pixels for item in self.items)


def estimated_pixels(name: str, size: int | None) -> int:
    """Number of pixels of an image file of `size` bytes, roughly."""
    if size is None:
        return _UNKNOWN_PIXELS
    return max(1, int(size * _PIXELS_PER_BYTE.get(suffix_of(name), _LOSSY_PIXELS_PER_BYTE)))


def units(items: Iterable[Item], *, workers: int, max_images: int = MAX_UNIT_IMAGES) -> list[Unit]:
    """Divide images into units of about equal numbers of pixels, in order.

    Args:
        items: the images.
        workers: how many units are worked on at the same time. There are some units for each, if possible.
        max_images: most images of a unit.
    """
    items = list(items)
    pixels = sum(item.pixels for item in items)
    most = min(MAX_UNIT_PIXELS, max(_MIN_UNIT_PIXELS, pixels // (_UNITS_PER_WORKER * workers) + 1))
    result: list[Unit] = []
    current: list[Item] = []
    size = 0
    for item in items:
        if current and (size + item.pixels > most or len(current) >= max_images):
            result.append(_unit(current))
            current, size = [], 0
        current.append(item)
        size += item.pixels
    if current:
        result.append(_unit(current))
    return result


_UNITS_PER_WORKER = 32
"""By the simulation in benchmarks/data_sets_model.py a run takes 1.1 times the ideal; with 8, up to 1.6."""


_MIN_UNIT_PIXELS = 4 << 20
"""Two seconds of one core: less is not worth a tar file."""


def _unit(items: list[Item]) -> Unit:
    digest = hashlib.blake2b(digest_size=8)
    for item in items:
        digest.update(item.key.encode(errors="surrogateescape") + b"\0")
    return Unit(digest.hexdigest(), tuple(items))


def in_shard(name: str, index: int, count: int) -> bool:
    """Whether an image, or a tar file of images, belongs to shard `index` of `count`.

    This depends on the name alone, so that a growing data set does not move images between shards.
    """
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == index
