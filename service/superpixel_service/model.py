"""What a caller asks for and what the service answers, in its own terms: no protobuf, no files."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import Provenance, Regions, Tree
from superpixel_service.contract import ImageFormat, Reason, StageSeconds
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import GuidanceSpec, OpenedGuidance

MAX_TARGETS = 32
"""Most target counts and areas of one request, together: a label map can carry this many levels."""

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
        target_counts: numbers of superpixels, in any order.
        target_areas: average superpixel sizes in pixels, in any order.
        compactness: weight of shape against colour; None: the default.
        region: the part to segment, in pixels of the oriented image; None: the whole image.
        guidance: maps that the superpixels follow; None: none.
        sample_range: the values of 16-bit samples that become 0 and 255; None: they follow from the image.
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
        counts: the levels, distinct and decreasing; empty: the whole base.
        guidance: maps that the superpixels follow; None: none.
    """

    image: OpenedImage
    region: Rectangle | None
    counts: tuple[int, ...]
    compactness: float | None
    encoding: LabelEncoding
    include_hierarchy: bool
    include_regions: bool
    lane: Lane
    guidance: OpenedGuidance | None = None

    @property
    def pixels(self) -> int:
        """Pixels of the whole image, or of a larger map; decoding costs these, whatever the region."""
        return max(self.image.width * self.image.height, self.guidance.pixels if self.guidance else 0)

    @property
    def byte_count(self) -> int:
        """Bytes of image and maps as sent, also after `release`."""
        return self.image.byte_count + (self.guidance.byte_count if self.guidance else 0)

    def release(self) -> None:
        """Free the bytes of image and maps: they are decoded, or not needed any more."""
        self.image.source.release()
        if self.guidance is not None:
            self.guidance.spec.release()

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
        prior_components: with a hard prior map, the count at which the superpixels are its components.
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


def accept(spec: SegmentSpec, image: OpenedImage, guidance: OpenedGuidance | None = None) -> Task:
    """Check the request against the image's size.

    Args:
        spec: the request.
        image: its image.
        guidance: its guidance.

    Raises:
        InvalidRequest: the region does not fit, or a count or area is out of range or too large for the
            encoding.
    """
    if spec.region is not None:
        _check_region(spec.region, image)
    where = spec.region or image
    counts = _levels(spec, where.width * where.height)
    if counts:
        check_encoding(spec.encoding, counts[0])
    return Task(
        image=image,
        region=spec.region,
        counts=counts,
        compactness=spec.compactness,
        encoding=spec.encoding,
        include_hierarchy=spec.include_hierarchy,
        include_regions=spec.include_regions,
        lane=spec.lane,
        guidance=guidance,
    )


def check_encoding(encoding: LabelEncoding, count: int) -> None:
    """Check that the encoding can hold `count` labels.

    Raises:
        InvalidRequest: it cannot.
    """
    if encoding is LabelEncoding.PNG and count > MAX_PNG_LABELS:
        raise InvalidRequest(
            Reason.COUNT_ABOVE_ENCODING,
            f"must be another one for {count} superpixels; a PNG holds at most {MAX_PNG_LABELS}",
            field="label_encoding",
            metadata={"limit_count": str(MAX_PNG_LABELS)},
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


def _levels(spec: SegmentSpec, pixels: int) -> tuple[int, ...]:
    """The distinct counts that the request's counts and areas stand for, decreasing."""
    if len(spec.target_counts) + len(spec.target_areas) > MAX_TARGETS:
        raise InvalidRequest(
            Reason.TARGETS_TOO_MANY,
            f"target_counts and target_areas together must have at most {MAX_TARGETS} entries",
            field="target_counts" if spec.target_counts else "target_areas",
        )
    if not (spec.target_counts or spec.target_areas or spec.include_hierarchy):
        raise InvalidRequest(
            Reason.TARGETS_MISSING,
            "say how many superpixels: target_counts, target_areas, or include_hierarchy for the whole base",
            field="target_counts",
        )
    for index, count in enumerate(spec.target_counts):
        if not 1 <= count <= pixels:
            raise InvalidRequest(
                Reason.COUNT_OUT_OF_RANGE,
                f"must be from 1 to the number of pixels, {pixels}",
                field=f"target_counts[{index}]",
            )
    for index, area in enumerate(spec.target_areas):
        if not (math.isfinite(area) and area > 0 and _count(pixels, area) <= pixels):
            raise InvalidRequest(
                Reason.AREA_OUT_OF_RANGE,
                "must be a finite number above 0 that stands for no more superpixels than there are pixels",
                field=f"target_areas[{index}]",
            )
    by_area = {int(_count(pixels, area)) for area in spec.target_areas}
    return tuple(sorted({*spec.target_counts, *by_area}, reverse=True))


def _count(pixels: int, area: float) -> float:
    """The number of superpixels of `area` pixels each; infinity if a double cannot hold it."""
    quotient = pixels / area + 0.5
    return max(1.0, float(math.floor(quotient))) if math.isfinite(quotient) else math.inf
