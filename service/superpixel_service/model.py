"""What a caller asks for and what the service answers, in its own terms: no protobuf, no files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import Provenance, Regions, Tree
from superpixel_service.contract import ImageFormat, Reason, StageSeconds
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import GuidanceSpec, MaskSpec, OpenedGuidance, OpenedMask
from superpixel_service.targets import Targets

MAX_PNG_LABELS = 1 << 24
"""Most labels of a PNG: three bytes tell this many apart."""

_ANSWER_OVERHEAD_BYTES = 2_000
"""Memory of an answer's Python objects."""


class Lane(StrEnum):
    """The two queues of work; interactive work goes first."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class LabelEncoding(StrEnum):
    """The format of a label map."""

    SPX = "spx"
    PNG = "png"
    RAW_GZIP = "raw_gzip"


class CacheUse(StrEnum):
    """Where an answer came from."""

    HIT = "hit"  # kept from an earlier call
    SHARED = "shared"  # computed once for several callers who asked at the same time
    MISS = "miss"  # computed for this caller
    OFF = "off"  # computed for this caller; the cache is off


class NoticeCode(Enum):
    """What the caller should know about how its image was read."""

    GRAY16_SCALED = "16-bit gray was scaled to 8 bits"
    COLOR16_SCALED = "16-bit samples were scaled to 8 bits"
    FIRST_FRAME_ONLY = "the file holds more frames; the first was segmented"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice of an answer.

    Attributes:
        code: its kind.
        sample_range: the values of samples that became 0 and 255, if the notice is about them.
    """

    code: NoticeCode
    sample_range: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """For people, in English."""
        if self.sample_range is None:
            return self.code.value
        return "{}: {} became 0, and {} became 255".format(self.code.value, *self.sample_range)


@dataclass(eq=False, slots=True)
class EncodedImage:
    """An image file. It owns the bytes; `release` frees them.

    Attributes:
        byte_count: size as sent, also after `release`.
    """

    data: bytes
    byte_count: int = field(init=False)
    _sha256: bytes = field(init=False, default=b"", repr=False)

    def __post_init__(self) -> None:
        self.byte_count = len(self.data)

    def sha256(self) -> bytes:
        """SHA-256 of the bytes, computed once. The first call must come before `release`."""
        self._sha256 = self._sha256 or hashlib.sha256(self.data).digest()
        return self._sha256

    def release(self) -> None:
        """Free the bytes: they are decoded, or not needed any more."""
        self.data = b""


@dataclass(eq=False, slots=True)
class RawImage:
    """Plain pixels: width * height * channels bytes, row by row. It owns the bytes; `release` frees them.

    Attributes:
        byte_count: size as sent, also after `release`.
    """

    width: int
    height: int
    channels: int
    data: bytes
    byte_count: int = field(init=False)
    _sha256: bytes = field(init=False, default=b"", repr=False)

    def __post_init__(self) -> None:
        self.byte_count = len(self.data)

    def sha256(self) -> bytes:
        """SHA-256 of the bytes, computed once. The first call must come before `release`."""
        self._sha256 = self._sha256 or hashlib.sha256(self.data).digest()
        return self._sha256

    def release(self) -> None:
        """Free the bytes: they are decoded, or not needed any more."""
        self.data = b""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of an image, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """One image and what the caller wants of it, as sent.

    Attributes:
        compactness: weight of shape against colour; None: the default.
        region: the part to segment, in pixels of the oriented image; None: the whole image.
        guidance: maps that the superpixels follow; None: none.
        sample_range: the values of 16-bit samples that become 0 and 255; None: they follow from the image.
        mask: the pixels that belong to superpixels; None: all.
    """

    source: EncodedImage | RawImage
    target_counts: tuple[int, ...] = ()
    target_areas: tuple[float, ...] = ()
    compactness: float | None = None
    encoding: LabelEncoding = LabelEncoding.SPX
    include_hierarchy: bool = False
    include_regions: bool = False
    region: Rectangle | None = None
    lane: Lane = Lane.INTERACTIVE
    apply_orientation: bool = True
    first_frame_only: bool = False
    guidance: GuidanceSpec | None = None
    sample_range: tuple[int, int] | None = None
    mask: MaskSpec | None = None


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header was accepted; no pixel has been decoded.

    Attributes:
        width: columns, in pixels, after the orientation is applied.
        height: rows, in pixels, after the orientation is applied.
        orientation: EXIF orientation to apply, 1 (none) to 8.
        bit_depth: bits per sample, from the file.
        frames: number of frames of an animation.
        sample_range: the values of 16-bit samples that become 0 and 255; None: they follow from the image, or
            have 8 bits.
    """

    source: EncodedImage | RawImage
    format: ImageFormat
    width: int
    height: int
    orientation: int = 1
    bit_depth: int = 8
    frames: int = 1
    sample_range: tuple[int, int] | None = None

    @property
    def byte_count(self) -> int:
        """Bytes of the image as sent."""
        return self.source.byte_count


@dataclass(frozen=True, slots=True)
class Task:
    """An accepted request: it has passed every check that needs no decoding.

    Attributes:
        counts: the levels, distinct and decreasing; empty: the whole base. With a mask, these are upper
            bounds: `targets.levels` gives the levels when the number of pixels inside is known.
        targets: the numbers of superpixels, as sent.
        guidance: maps that the superpixels follow; None: none.
        mask: the pixels that belong to superpixels; None: all.
    """

    image: OpenedImage
    region: Rectangle | None
    counts: tuple[int, ...]
    targets: Targets
    compactness: float | None
    encoding: LabelEncoding
    include_hierarchy: bool
    include_regions: bool
    lane: Lane
    guidance: OpenedGuidance | None = None
    mask: OpenedMask | None = None

    @property
    def pixels(self) -> int:
        """Pixels of the whole image, or of a larger map; decoding costs these, whatever the region."""
        return max(self.image.width * self.image.height, self.guidance.pixels if self.guidance else 0)

    @property
    def byte_count(self) -> int:
        """Bytes of image, maps and mask as sent, also after `release`."""
        maps = self.guidance.byte_count if self.guidance else 0
        return self.image.byte_count + maps + (self.mask.byte_count if self.mask else 0)

    def release(self) -> None:
        """Free the bytes of image, maps and mask: they are decoded, or not needed any more."""
        self.image.source.release()
        if self.guidance is not None:
            self.guidance.spec.release()
        if self.mask is not None:
            self.mask.spec.release()

    @property
    def region_pixels(self) -> int:
        """Pixels to segment: those of the region of interest."""
        where = self.region or self.image
        return where.width * where.height


@dataclass(frozen=True, slots=True, eq=False)
class WrittenMap:
    """A label map as sent, with the data that belongs to it.

    Attributes:
        data: the map in `encoding`. SPX also holds everything else. Empty if the answer is a message.
        luts: other encodings only: per level, the label there of each label of the map; empty for the map's
            own level.
        tree, heights: other encodings only, if requested: the merges above the map, and their heights,
            (count - 1,) float32.
        regions: other encodings only, if requested: measurements of the map's regions.
        kept_size: size of `data`, in bytes, if the answer is a message.
    """

    encoding: LabelEncoding
    data: bytes
    luts: tuple[NDArray[np.integer], ...] = ()
    tree: Tree | None = None
    heights: NDArray[np.float32] | None = None
    regions: Regions | None = None
    kept_size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the map as sent."""
        return self.kept_size or len(self.data)

    @property
    def byte_count(self) -> int:
        """Bytes of memory of the map and its arrays."""
        return len(self.data) + sum(array.nbytes for array in self._arrays())

    def _arrays(self) -> Iterator[NDArray[Any]]:
        yield from self.luts
        if self.heights is not None:
            yield self.heights
        for group in (self.tree, self.regions):
            if group is not None:
                yield from (getattr(group, each.name) for each in fields(group))


@dataclass(frozen=True, slots=True)
class Answer:
    """The superpixels of one image.

    Attributes:
        width, height: size of the map, in pixels.
        base_count: number of regions of the base partition.
        label_map: the finest level, as sent.
        counts: the levels, distinct and decreasing; the first is the map's own.
        whole_base: the caller named no level; the map is the base partition.
        stages: seconds per stage.
        engine_seconds: seconds per stage of the engine; empty if nothing was computed for this caller.
        provenance: what the map was made from.
        prior_components: with a hard prior map or a mask, the count at which the superpixels are its
            components.
        mask_pixels: with a mask, the number of pixels inside.
        cache: where the answer came from.
        message: the serialised response without its timings, with the label map in it; empty: not serialised.
    """

    width: int
    height: int
    base_count: int
    label_map: WrittenMap
    counts: tuple[int, ...]
    whole_base: bool
    notices: tuple[Notice, ...]
    stages: StageSeconds
    engine_seconds: Mapping[str, float]
    backend: str
    algorithm_version: int
    provenance: Provenance = field(default_factory=Provenance)
    prior_components: int | None = None
    mask_pixels: int | None = None
    cache: CacheUse = CacheUse.OFF
    message: bytes = b""

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the answer takes, approximately."""
        return self.label_map.byte_count + len(self.message) + _ANSWER_OVERHEAD_BYTES

    def as_message(self, message: bytes) -> "Answer":
        """The answer with `message` in place of the label map and its arrays."""
        label_map = WrittenMap(self.label_map.encoding, b"", kept_size=self.label_map.size)
        return replace(self, label_map=label_map, message=message)


def accept(
    spec: SegmentSpec,
    image: OpenedImage,
    guidance: OpenedGuidance | None = None,
    mask: OpenedMask | None = None,
) -> Task:
    """Check the request against the image's size.

    Args:
        spec: the request.
        image: its image.
        guidance: its guidance.
        mask: its mask.

    Raises:
        InvalidRequest: the region does not fit, or a count or area is out of range or too large for the
            encoding.
    """
    if spec.region is not None:
        _check_region(spec.region, image)
    where = spec.region or image
    targets = Targets(spec.target_counts, spec.target_areas)
    targets.check_number(spec.include_hierarchy)
    counts = targets.levels(where.width * where.height)
    if counts:
        check_encoding(spec.encoding, counts[0])
    return Task(
        image=image,
        region=spec.region,
        counts=counts,
        targets=targets,
        compactness=spec.compactness,
        encoding=spec.encoding,
        include_hierarchy=spec.include_hierarchy,
        include_regions=spec.include_regions,
        lane=spec.lane,
        guidance=guidance,
        mask=mask,
    )


def check_encoding(encoding: LabelEncoding, count: int, *, masked: bool = False) -> None:
    """Check that the encoding can hold `count` labels, and if `masked` also pixels that have none.

    Raises:
        InvalidRequest: it cannot.
    """
    most = MAX_PNG_LABELS - masked
    if encoding is LabelEncoding.PNG and count > most:
        raise InvalidRequest(
            Reason.COUNT_ABOVE_ENCODING,
            f"must be another one for {count} superpixels; a PNG holds at most {most}",
            field="label_encoding",
            metadata={"limit_count": str(most)},
        )


def _check_region(region: Rectangle, image: OpenedImage) -> None:
    fits = (
        region.width >= 1
        and region.height >= 1
        and region.x + region.width <= image.width
        and region.y + region.height <= image.height
    )
    if not fits:
        raise InvalidRequest(
            Reason.REGION_OUTSIDE_IMAGE,
            f"must be at least 1x1 pixels and lie inside the image, which is {image.width}x{image.height}",
            field="region_of_interest",
        )
