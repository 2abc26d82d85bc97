"""The guidance and the mask of a request: maps as sent, not decoded, and their parameters."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MAX_MASKS = 1024
"""Most masks of a prior map; SAM finds a few hundred."""


class MapName(StrEnum):
    """The maps, by the names of their fields in the contract."""

    EDGES = "edges"
    PRIOR = "prior"
    IMPORTANCE = "importance"


class PriorMode(StrEnum):
    """How superpixels follow a prior map."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class PngMap:
    """A PNG file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawMap:
    """Plain little-endian values: width * height * bits / 8 bytes, row by row; 1 bit: rows of whole bytes."""

    width: int
    height: int
    bits: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LabelMapLevel:
    """The level with `count` superpixels of an SPXL container; 0: the finest."""

    data: bytes
    count: int


@dataclass(frozen=True, slots=True)
class RleMask:
    """The runs of one mask: COCO's compressed string, or little-endian uint32 lengths."""

    data: bytes
    compressed: bool


@dataclass(frozen=True, slots=True)
class RleMasks:
    """Masks of one size; later ones cover earlier ones."""

    width: int
    height: int
    masks: tuple[RleMask, ...]


GrayMap: TypeAlias = PngMap | RawMap
PriorMap: TypeAlias = PngMap | RawMap | LabelMapLevel | RleMasks


@dataclass(eq=False, slots=True)
class GuidanceSpec:
    """The maps and parameters of one request, as sent. It owns the bytes; `release` frees them."""

    edge_weight: int
    prior_mode: PriorMode
    prior_weight: int
    edges: GrayMap | None = None
    prior: PriorMap | None = None
    importance: GrayMap | None = None

    def maps(self) -> Iterator[tuple[MapName, GrayMap | PriorMap]]:
        """The maps that were sent."""
        for name, each in (
            (MapName.EDGES, self.edges),
            (MapName.PRIOR, self.prior),
            (MapName.IMPORTANCE, self.importance),
        ):
            if each is not None:
                yield name, each

    def release(self) -> None:
        """Free the maps: they are decoded, or not needed any more."""
        self.edges = self.prior = self.importance = None

    def digest(self) -> bytes:
        """SHA-256 of everything that was sent. Call it before `release`."""
        digest = hashlib.sha256(f"{self.edge_weight} {self.prior_mode} {self.prior_weight}".encode())
        for name, each in self.maps():
            digest.update(f"\n{name} {_shape(each)}\n".encode())
            for data in _parts(each):
                digest.update(data)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class OpenedGuidance:
    """Guidance whose headers were accepted; no map has been decoded.

    Attributes:
        names: the maps that were sent, also after `release`.
        pixels: pixels of the largest map.
        byte_count: bytes of all maps as sent, also after `release`.
    """

    spec: GuidanceSpec
    names: tuple[str, ...]
    pixels: int
    byte_count: int


@dataclass(eq=False, slots=True)
class MaskSpec:
    """The mask of one request, as sent. It owns the bytes; `release` frees them."""

    sent: GrayMap | None

    def release(self) -> None:
        """Free the mask: it is decoded, or not needed any more."""
        self.sent = None

    def digest(self) -> bytes:
        """SHA-256 of what was sent. Call it before `release`."""
        assert self.sent is not None  # noqa: S101 (not released)
        return hashlib.sha256(f"{_shape(self.sent)}\n".encode() + self.sent.data).digest()


@dataclass(frozen=True, slots=True)
class OpenedMask:
    """A mask whose header was accepted; no pixel has been decoded.

    Attributes:
        byte_count: bytes as sent, also after `release`.
    """

    spec: MaskSpec
    byte_count: int


def byte_count(sent: GrayMap | PriorMap) -> int:
    """Bytes of a map as sent."""
    return sum(map(len, _parts(sent)))


def _parts(sent: GrayMap | PriorMap) -> Iterator[bytes]:
    if isinstance(sent, RleMasks):
        yield from (mask.data for mask in sent.masks)
    else:
        yield sent.data


def _shape(sent: GrayMap | PriorMap) -> str:
    """What the bytes alone do not say; with them it identifies the map."""
    match sent:
        case PngMap():
            return "png"
        case RawMap():
            return f"raw {sent.width} {sent.height} {sent.bits}"
        case LabelMapLevel():
            return f"level {sent.count}"
        case RleMasks():
            masks = " ".join(f"{len(mask.data)}{'c' if mask.compressed else 'u'}" for mask in sent.masks)
            return f"masks {sent.width} {sent.height} {masks}"
