"""What a run will take, from a sample of the image."""

import time
from dataclasses import dataclass

import superpixel_kernels as kernels
from superpixel_kernels.tiled import TilePlan
from superpixel_service.large.rgb import RgbSource, make_reading
from superpixel_service.large.run import Plan
from superpixel_service.large.source import Window
from superpixel_service.sample_ranges import Range, RangeRule

_SAMPLE_SIDE = 1024

_GRAPH_BYTES_PER_REGION = 265
_TILE_BYTES_PER_PIXEL = 33
_BASE_BYTES = 200 << 20
"""The program and its libraries."""

_WORK_BYTES_PER_PIXEL = 6
_STORE_BYTES_PER_PIXEL = 6
"""At most, with the pyramid: 8-bit RGB and base regions, both compressed. Label images take one more each."""

_OTHER_STEPS = 1.4
"""The time of all steps, per time of the engine."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes, roughly."""

    tiles: int
    regions: int
    memory_bytes: int
    work_bytes: int
    store_bytes: int
    seconds: float


def estimate(plan: Plan) -> Estimate:
    """Segment a sample from the middle of the image, and scale its numbers.

    Raises:
        LargeFailed: the image cannot be read there, or an argument is wrong.
        superpixel_kernels.errors.InvalidParameter: the tile is too large.
    """
    rows, columns, _ = plan.source.shape
    pixels = rows * columns
    tiles = len(TilePlan(kernels.SegmentParams(plan.compactness), rows, columns, 3, plan.tile))
    width, height = min(columns, _SAMPLE_SIDE), min(rows, _SAMPLE_SIDE)
    window = Window((columns - width) // 2, (rows - height) // 2, width, height)
    # The range of values needs a pass over the whole image; for a sample any will do.
    quick = plan.rules or [RangeRule(_any_range(plan))]
    given = [rule if rule.given is not None else RangeRule(_any_range(plan)) for rule in quick]
    reading = make_reading(plan.source, bands=plan.bands, rules=given, nodata=plan.nodata, mask=plan.mask)
    begin = time.perf_counter()
    image = RgbSource(plan.source, reading, plan.mask).read(window)
    read_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    hierarchy = kernels.segment(image, kernels.SegmentParams(plan.compactness), threads=1)
    seconds = time.perf_counter() - begin
    share = pixels / (width * height)
    regions = round(hierarchy.base_count * share)
    tile_pixels = min(pixels, plan.tile**2)
    threads = max(1, plan.threads)
    return Estimate(
        tiles=tiles,
        regions=regions,
        memory_bytes=_BASE_BYTES
        + max(regions * _GRAPH_BYTES_PER_REGION, threads * tile_pixels * _TILE_BYTES_PER_PIXEL),
        work_bytes=pixels * _WORK_BYTES_PER_PIXEL,
        store_bytes=pixels * (_STORE_BYTES_PER_PIXEL + len(plan.counts)),
        seconds=share * (2 * read_seconds + _OTHER_STEPS * seconds / min(threads, tiles)),
    )


def _any_range(plan: Plan) -> Range:
    return Range(0.0, 255.0) if plan.source.dtype.itemsize == 1 else Range(0.0, 4095.0)
