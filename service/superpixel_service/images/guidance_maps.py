"""Turns the maps of a request's guidance into arrays, in two steps, as `images/decode` does with the image.

`open_guidance` checks sizes and headers before the image enters the queue. `decode_guidance` runs on a
worker.
"""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import FittedGuidance, Guidance, codec
from superpixel_kernels.codec import layout
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import (
    MAX_MASKS,
    GrayMap,
    GuidanceSpec,
    LabelMapLevel,
    MapName,
    OpenedGuidance,
    PngMap,
    PriorMap,
    RawMap,
    RleMasks,
    byte_count,
)
from superpixel_service.images.decode import ImageLimits
from superpixel_service.images.map_files import SentMap, check_size, decode_png, size_of_png, size_of_raw
from superpixel_service.model import OpenedImage, Rectangle

_MAX_LABELS = 1 << 31


def _map(name: MapName) -> SentMap:
    return SentMap(
        f"guidance.{name}",
        name is MapName.PRIOR,
        {"map": name.value},
        Reason.GUIDANCE_MAP_INVALID,
        Reason.GUIDANCE_MAP_UNDECODABLE,
    )


def open_guidance(
    guidance: GuidanceSpec | None, image: OpenedImage, limits: ImageLimits
) -> OpenedGuidance | None:
    """Accept or reject the maps by their sizes in bytes and their headers; None without guidance.

    Raises:
        InvalidRequest: a map is rejected.
    """
    if guidance is None:
        return None
    maps = dict(guidance.maps())
    sizes = {name: byte_count(sent) for name, sent in maps.items()}
    total = sum(sizes.values())
    if image.byte_count + total > limits.max_image_bytes:
        largest = max(sizes, key=lambda name: sizes[name])
        raise _map(largest).rejected(
            Reason.GUIDANCE_TOO_MANY_BYTES,
            f"image and maps together must have at most {limits.max_image_bytes} bytes, have "
            f"{image.byte_count + total}",
            limit_bytes=str(limits.max_image_bytes),
        )
    pixels = 0
    for name, sent in maps.items():
        width, height = _size(_map(name), sent)
        if width * height > limits.max_image_pixels:
            raise _map(name).rejected(
                Reason.GUIDANCE_TOO_MANY_PIXELS,
                f"must have at most {limits.max_image_pixels} pixels, has {width}x{height}",
                limit_pixels=str(limits.max_image_pixels),
            )
        pixels = max(pixels, width * height)
    return OpenedGuidance(guidance, tuple(name.value for name in maps), pixels, total)


def _size(a_map: SentMap, sent: GrayMap | PriorMap) -> tuple[int, int]:
    """Width and height by the header. Checks everything that needs no decoding."""
    match sent:
        case PngMap():
            return size_of_png(a_map, sent)
        case RawMap():
            return size_of_raw(a_map, sent, (8, 16, 32) if a_map.holds_labels else (8,))
        case LabelMapLevel():
            return _size_of_label_map(a_map, sent)
        case RleMasks():
            return _size_of_masks(a_map, sent)


def _size_of_label_map(a_map: SentMap, sent: LabelMapLevel) -> tuple[int, int]:
    if not sent.data.startswith(layout.MAGIC):
        raise a_map.rejected(Reason.GUIDANCE_MAP_INVALID, "must be an SPXL label map", "label_map.spx")
    try:
        *_, width, height, count = layout.HEADER.unpack_from(sent.data)
    except struct.error as error:
        raise _damaged_label_map(a_map) from error
    if not 1 <= count <= width * height:
        raise _damaged_label_map(a_map)
    if sent.count > count:
        raise _no_level(a_map, f"must be at most the map's own {count}")
    return width, height


def _size_of_masks(a_map: SentMap, sent: RleMasks) -> tuple[int, int]:
    check_size(a_map, "masks", sent.width, sent.height)
    if len(sent.masks) > MAX_MASKS:
        raise a_map.rejected(
            Reason.GUIDANCE_TOO_MANY_MASKS,
            f"must be at most {MAX_MASKS}, has {len(sent.masks)}",
            "masks.masks",
            limit_masks=str(MAX_MASKS),
        )
    return sent.width, sent.height


def _damaged_label_map(a_map: SentMap) -> InvalidRequest:
    return a_map.undecodable("label_map.spx", "a complete, undamaged SPXL label map")


def _no_level(a_map: SentMap, text: str) -> InvalidRequest:
    return a_map.rejected(Reason.GUIDANCE_LEVEL_MISSING, text, "label_map.count")


def decode_guidance(
    opened: OpenedGuidance,
    image: OpenedImage,
    region: Rectangle | None,
    begin_step: Callable[[], None] = lambda: None,
) -> FittedGuidance | None:
    """Decode the maps, scale them to the image, and cut out the region.

    Args:
        opened: the accepted maps.
        image: the image, whose size after its orientation is applied is that of the whole picture.
        region: the part that is segmented, in pixels of the upright image; None: the whole image.
        begin_step: called before each map. It may raise to stop the work.

    Returns:
        The guidance; None if it has no effect.

    Raises:
        InvalidRequest: a map is truncated, damaged, or has labels from 2^31 on.
        MemoryError: there is no memory for a map.
    """
    spec = opened.spec
    maps: dict[str, NDArray[np.integer]] = {}
    for name, sent in spec.maps():
        begin_step()
        maps[name.value] = _decode(_map(name), sent)
    begin_step()
    guidance = Guidance(
        **maps,
        edge_weight=spec.edge_weight,
        prior_mode=spec.prior_mode.value,
        prior_weight=spec.prior_weight,
    )
    maps.clear()
    part = None if region is None else (region.x, region.y, region.width, region.height)
    fitted = guidance.fitted(image.height, image.width, part)
    return None if fitted.is_neutral else fitted


def _decode(a_map: SentMap, sent: GrayMap | PriorMap) -> NDArray[np.integer]:
    match sent:
        case PngMap():
            values = decode_png(a_map, sent)
        case RawMap():
            values = np.frombuffer(sent.data, f"<u{sent.bits // 8}").reshape(sent.height, sent.width)
            if sent.bits == 32 and int(values.max()) >= _MAX_LABELS:
                raise a_map.rejected(
                    Reason.GUIDANCE_LABEL_TOO_LARGE,
                    f"labels must be at most {_MAX_LABELS - 1}, has {int(values.max())}",
                    "raw.data",
                )
        case LabelMapLevel():
            values = _decode_label_map(a_map, sent)
        case RleMasks():
            values = _paint(a_map, sent)
    return values


def _decode_label_map(a_map: SentMap, sent: LabelMapLevel) -> NDArray[np.int32]:
    *_, width, height, count = layout.HEADER.unpack_from(sent.data)
    wanted = sent.count or count
    # Sections that are not needed could take many times the memory of the labels.
    skip = {layout.HEIGHTS, layout.REGIONS} | ({layout.TREE, layout.LEVELS} if wanted == count else set())
    try:
        label_map = codec.decode(sent.data, max_pixels=min(width * height, 2**31 - 1), skip=skip)
        regions = label_map.cut(wanted)
    except InvalidLabelMap as error:
        raise _damaged_label_map(a_map) from error
    except InvalidParameter as error:
        raise _no_level(a_map, "must be the count of a level of this map") from error
    return codec.with_outside(regions, wanted)[label_map.labels]


def _paint(a_map: SentMap, sent: RleMasks) -> NDArray[np.int32]:
    runs = [(mask.data, mask.compressed) for mask in sent.masks]
    try:
        return codec.paint_masks(runs, sent.height, sent.width)
    except codec.InvalidMask as error:
        raise a_map.undecodable(
            f"masks.masks[{error.index}]",
            "runs that add up to width * height, here of another sum or damaged",
        ) from error
