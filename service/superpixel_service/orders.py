"""What is asked of the engine and what comes of it, in the service's own terms: no protobuf, no kernels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.errors import InvalidRequest, Reason

MAX_TARGETS = 32
"""Most target counts and areas of one request, together: as many levels as the label map can carry."""

_ANSWER_OVERHEAD_BYTES = 2_000
"""The objects that an answer is made of."""

MAX_PNG_LABELS = 1 << 24
"""As many labels as three bytes can tell apart."""


class Lane(StrEnum):
    """Whose turn it is when there is more work than workers."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class LabelEncoding(StrEnum):
    """How a label map is written."""

    SPX = "spx"
    PNG = "png"
    RAW_GZIP = "raw_gzip"


class ImageFormat(StrEnum):
    """How an image arrives."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    RAW = "raw"


class CacheUse(StrEnum):
    """Where an answer came from."""

    HIT = "hit"  # made before
    SHARED = "shared"  # made for another caller who asked for the same a moment before
    MISS = "miss"  # made for this caller
    OFF = "off"  # likewise; there is no cache


class NoticeCode(Enum):
    """What the caller should know about how its image was read."""

    GRAY16_SCALED = "16-bit gray was scaled to 8 bits by its own range of values"
    HIGH_BYTES_ONLY = "16-bit samples were reduced to their high bytes"
    FIRST_FRAME_ONLY = "the file holds more frames; the first was segmented"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawImage:
    """Plain pixels: width * height * channels bytes, row after row."""

    width: int
    height: int
    channels: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of an image, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Order:
    """One image and what is wanted of it, as the caller said it.

    Attributes:
        target_counts: numbers of superpixels, any order.
        target_areas: average superpixel sizes in pixels, any order.
        compactness: shape against colour; None: the default.
        region: the part to segment, in pixels of the oriented image; None: all of it.
    """

    source: EncodedImage | RawImage
    target_counts: tuple[int, ...]
    target_areas: tuple[float, ...]
    compactness: float | None
    encoding: LabelEncoding
    include_hierarchy: bool
    include_regions: bool
    region: Rectangle | None
    lane: Lane
    apply_orientation: bool
    first_frame_only: bool


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image that was accepted by its header; no pixel has been decoded.

    Attributes:
        width: columns, in pixels, with the orientation applied.
        height: rows, in pixels, with the orientation applied.
        orientation: EXIF orientation to apply, 1 (none) to 8.
        bit_depth: bits a sample, as the file says.
        frames: number of frames of an animation.
    """

    source: EncodedImage | RawImage
    format: ImageFormat
    width: int
    height: int
    orientation: int = 1
    bit_depth: int = 8
    frames: int = 1

    @property
    def byte_count(self) -> int:
        """Bytes of the image as it was sent."""
        return len(self.source.data)


@dataclass(frozen=True, slots=True)
class Task:
    """An accepted order: everything that can be checked without decoding has been.

    Attributes:
        pixels: number of pixels of the whole image, which is what decoding costs.
        counts: the levels, distinct and falling; empty: the whole base.
    """

    image: OpenedImage
    region: Rectangle | None
    counts: tuple[int, ...]
    compactness: float | None
    encoding: LabelEncoding
    include_hierarchy: bool
    include_regions: bool
    lane: Lane

    @property
    def pixels(self) -> int:
        """Pixels of the whole image."""
        return self.image.width * self.image.height

    def summary(self) -> "TaskSummary":
        """What is to be told of the task when it is over and its image is let go of."""
        image = self.image
        return TaskSummary(image.format, image.width, image.height, image.byte_count, self.counts)


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """A task without its image; attributes as there."""

    format: ImageFormat
    width: int
    height: int
    byte_count: int
    counts: tuple[int, ...]

    @property
    def pixels(self) -> int:
        """Pixels of the whole image."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Measures of the `count` regions of a label map.

    Attributes:
        area: (count,) pixels.
        box: (count, 4): x0, y0, x1, y1 in pixels; x1 and y1 lie one past the region.
        centroid: (count, 2): x, y in 1/16 pixel, pixel x lying at coordinate x.
        mean_rgb: (count, 3) uint8.
        adjacent: (pairs, 2): the labels of regions that touch, the smaller one first, ascending.
    """

    area: NDArray[np.integer]
    box: NDArray[np.integer]
    centroid: NDArray[np.integer]
    mean_rgb: NDArray[np.uint8]
    adjacent: NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class MergeTree:
    """The merges above a label map of `count` labels, as the contract's message Hierarchy has them.

    Attributes:
        into: (count - 1,), entry 0 belonging to label 1.
        order: (count - 1,), likewise.
        heights: (count - 1,) float32, by rank.
    """

    into: NDArray[np.integer]
    order: NDArray[np.integer]
    heights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenMap:
    """A label map as it is sent, with what belongs to it.

    Attributes:
        data: the map, so encoded; SPX holds all that belongs to it.
        luts: encodings other than SPX: for each level the label there of each label of the map; empty for
            the map itself.
        hierarchy, regions: encodings other than SPX, where asked for.
    """

    encoding: LabelEncoding
    data: bytes
    luts: tuple[NDArray[np.integer], ...] = ()
    hierarchy: MergeTree | None = None
    regions: Regions | None = None


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Where the time of a call went, in seconds."""

    queue: float
    decode: float
    segment: float
    encode: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The superpixels of one image.

    Attributes:
        width, height: size of the map, in pixels.
        base_count: number of regions of the base partition.
        label_map: the finest level, as it is sent.
        counts: the levels, distinct and falling; the first is the map's own.
        whole_base: no level was asked for; the map is the base partition.
        stages: where the time went.
        engine_seconds: the engine's own stages, by name; empty where it did nothing for this caller.
        cache: where the answer came from.
    """

    width: int
    height: int
    base_count: int
    label_map: WrittenMap
    counts: tuple[int, ...]
    whole_base: bool
    notices: tuple[NoticeCode, ...]
    stages: StageSeconds
    engine_seconds: Mapping[str, float]
    backend: str
    algorithm_version: int
    cache: CacheUse = CacheUse.OFF

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the answer takes, about."""
        written = self.label_map
        arrays: list[NDArray[Any]] = list(written.luts)
        if written.hierarchy is not None:
            tree = written.hierarchy
            arrays += [tree.into, tree.order, tree.heights]
        if written.regions is not None:
            regions = written.regions
            arrays += [regions.area, regions.box, regions.centroid, regions.mean_rgb, regions.adjacent]
        return len(written.data) + sum(array.nbytes for array in arrays) + _ANSWER_OVERHEAD_BYTES


def accept(order: Order, image: OpenedImage) -> Task:
    """Check the order against the image's size.

    Raises:
        InvalidRequest: the region does not fit, or a count or area is out of range or too large for the
            encoding.
    """
    if order.region is not None:
        _check_region(order.region, image)
    where = order.region or image
    counts = _levels(order, where.width * where.height)
    if counts:
        check_encoding(order.encoding, counts[0])
    return Task(
        image=image,
        region=order.region,
        counts=counts,
        compactness=order.compactness,
        encoding=order.encoding,
        include_hierarchy=order.include_hierarchy,
        include_regions=order.include_regions,
        lane=order.lane,
    )


def check_encoding(encoding: LabelEncoding, count: int) -> None:
    """Check that a map of `count` labels can be written so.

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


def _levels(order: Order, pixels: int) -> tuple[int, ...]:
    """The distinct counts that the order's counts and areas stand for, falling."""
    if len(order.target_counts) + len(order.target_areas) > MAX_TARGETS:
        raise InvalidRequest(
            Reason.TARGETS_TOO_MANY,
            f"target_counts and target_areas together must have at most {MAX_TARGETS} entries",
            field="target_counts" if order.target_counts else "target_areas",
        )
    if not (order.target_counts or order.target_areas or order.include_hierarchy):
        raise InvalidRequest(
            Reason.TARGETS_MISSING,
            "say how many superpixels: target_counts, target_areas, or include_hierarchy for the whole base",
            field="target_counts",
        )
    for index, count in enumerate(order.target_counts):
        if not 1 <= count <= pixels:
            raise InvalidRequest(
                Reason.COUNT_OUT_OF_RANGE,
                f"must be from 1 to the number of pixels, {pixels}",
                field=f"target_counts[{index}]",
            )
    for index, area in enumerate(order.target_areas):
        if not (math.isfinite(area) and area > 0 and _count(pixels, area) <= pixels):
            raise InvalidRequest(
                Reason.AREA_OUT_OF_RANGE,
                "must be a finite number above 0 that stands for no more superpixels than there are pixels",
                field=f"target_areas[{index}]",
            )
    by_area = {int(_count(pixels, area)) for area in order.target_areas}
    return tuple(sorted({*order.target_counts, *by_area}, reverse=True))


def _count(pixels: int, area: float) -> float:
    """The whole number of superpixels of `area` pixels each; infinity where that is beyond doubles."""
    quotient = pixels / area + 0.5
    return max(1.0, float(math.floor(quotient))) if math.isfinite(quotient) else math.inf
