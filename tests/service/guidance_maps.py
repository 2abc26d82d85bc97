"""Maps of guidance for the service's tests, in every encoding, and the arrays that they stand for."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec, segment
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.kernels.coco import compressed, runs_of
from tests.service.images import encoded, png, png_chunk, saved, scene

Array = NDArray[Any]

WIDTH, HEIGHT = 120, 90
PIXELS = scene(WIDTH, HEIGHT, seed=6)
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]

EDGES = ((3 * _X + 7 * _Y) & 255).astype(np.uint8)
PRIOR = (_X // 17 + 100 * (_Y // 13)).astype(np.int32)
IMPORTANCE = ((2 * _X) & 255).astype(np.uint8)
FEW = (_X // 17 + 2 * (_Y // 40)).astype(np.int32)
"""A prior map with labels below 16."""


def raw_map(values: Array) -> pb.RawMap:
    height, width = values.shape
    bits = 8 * values.dtype.itemsize
    return pb.RawMap(width=width, height=height, bits=bits, data=values.tobytes())


def packed(values: Array, depth: int) -> bytes:
    """Rows of a PNG with samples of `depth` bits, with their filter bytes."""
    rows = []
    for row in values.tolist():
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    return b"".join(rows)


def small_png(values: Array, depth: int, color_type: int = 0) -> bytes:
    height, width = values.shape
    palette = [(b"PLTE", bytes(range(48)) * 16)] if color_type == 3 else []
    entries = [(kind, data[: 3 << depth]) for kind, data in palette]
    return png(width, height, depth, color_type, packed(values, depth), *entries)


def interlaced(values: Array) -> bytes:
    """An 8-bit gray PNG in Adam7 order."""
    height, width = values.shape
    data = b""
    for x0, y0, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        for row in values[y0::dy, x0::dx]:
            data += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(data)),
            png_chunk(b"IEND", b""),
        ]
    )


def palette_png(values: Array) -> bytes:
    picture = Image.fromarray(values.astype(np.uint8), "L").convert("P")
    picture.putdata(values.ravel().tolist())
    # Equal colours: only the indexes tell labels apart.
    picture.putpalette([7] * 768)
    return saved(picture)


def rgb_png(values: Array) -> bytes:
    channels = values.astype("<u4").view(np.uint8).reshape(*values.shape, 4)[..., :3]
    return encoded(np.ascontiguousarray(channels))


def disks(number: int = 5) -> list[Array]:
    """Masks that overlap."""
    random = np.random.default_rng(number)
    masks = []
    for _ in range(number):
        x, y, radius = random.uniform(0, WIDTH), random.uniform(0, HEIGHT), random.uniform(10, 40)
        masks.append((_X - x) ** 2 + (_Y - y) ** 2 < radius**2)
    return masks


def painted(masks: list[Array]) -> Array:
    labels = np.zeros(masks[0].shape, np.int32)
    for index, mask in enumerate(masks):
        labels[mask] = index + 1
    return labels


def rle_masks(masks: list[Array], pack: Callable[[int], bool]) -> pb.RleMasks:
    height, width = masks[0].shape
    rows = []
    for index, mask in enumerate(masks):
        lengths = runs_of(mask)
        if pack(index):
            rows.append(pb.RleMask(compressed=compressed(lengths)))
        else:
            rows.append(pb.RleMask(uncompressed=np.array(lengths, "<u4").tobytes()))
    return pb.RleMasks(width=width, height=height, masks=rows)


_OTHER = segment(scene(WIDTH, HEIGHT, seed=7))
SPX = _OTHER.encode(60, include_hierarchy=True, include_regions=True)
SPX_LEVELS = _OTHER.encode(60, levels=[30, 9])

SIXTEEN = (IMPORTANCE // 16).astype(np.uint8)
BITS = (EDGES > 99).astype(np.uint8)

STRENGTHS: dict[str, tuple[pb.GrayMap, Array]] = {
    "png": (pb.GrayMap(png=encoded(EDGES)), EDGES),
    "png, interlaced": (pb.GrayMap(png=interlaced(EDGES)), EDGES),
    "png of 4 bits": (pb.GrayMap(png=small_png(SIXTEEN, 4)), SIXTEEN * np.uint8(17)),
    "png of 2 bits": (pb.GrayMap(png=small_png(SIXTEEN & 3, 2)), (SIXTEEN & 3) * np.uint8(85)),
    "png of 1 bit": (pb.GrayMap(png=small_png(BITS, 1)), BITS * np.uint8(255)),
    "raw": (pb.GrayMap(raw=raw_map(EDGES)), EDGES),
    "of another size": (pb.GrayMap(raw=raw_map(EDGES[:31, :57].copy())), EDGES[:31, :57]),
}

LABELS: dict[str, tuple[pb.PriorMap, Array]] = {
    "png, gray of 16 bits": (pb.PriorMap(png=encoded(PRIOR.astype(np.uint16))), PRIOR),
    "png, gray of 8 bits": (pb.PriorMap(png=encoded(FEW.astype(np.uint8))), FEW),
    "png, gray of 4 bits": (pb.PriorMap(png=small_png(FEW, 4)), FEW),
    "png, gray of 2 bits": (pb.PriorMap(png=small_png(FEW & 3, 2)), FEW & 3),
    "png, gray of 1 bit": (pb.PriorMap(png=small_png(FEW & 1, 1)), FEW & 1),
    "png, interlaced": (pb.PriorMap(png=interlaced(FEW.astype(np.uint8))), FEW),
    "png, palette": (pb.PriorMap(png=palette_png(FEW)), FEW),
    "png, palette of 4 bits": (pb.PriorMap(png=small_png(FEW, 4, 3)), FEW),
    "png, palette of 1 bit": (pb.PriorMap(png=small_png(FEW & 1, 1, 3)), FEW & 1),
    "png, RGB": (pb.PriorMap(png=rgb_png(PRIOR * 70_000)), PRIOR * 70_000 % (1 << 24)),
    "raw, 8 bits": (pb.PriorMap(raw=raw_map(FEW.astype(np.uint8))), FEW),
    "raw, 16 bits": (pb.PriorMap(raw=raw_map(PRIOR.astype(np.uint16))), PRIOR),
    "raw, 32 bits": (pb.PriorMap(raw=raw_map(PRIOR.astype(np.uint32) + np.uint32(2**31 - 700))), PRIOR),
    "label map": (pb.PriorMap(label_map=pb.LabelMapLevel(spx=SPX)), _OTHER.cut(60)),
    "label map, a level": (pb.PriorMap(label_map=pb.LabelMapLevel(spx=SPX, count=23)), _OTHER.cut(23)),
    "label map, its own level": (pb.PriorMap(label_map=pb.LabelMapLevel(spx=SPX, count=60)), _OTHER.cut(60)),
    "label map, a stored level": (
        pb.PriorMap(label_map=pb.LabelMapLevel(spx=SPX_LEVELS, count=9)),
        _OTHER.cut(9),
    ),
    "masks, compressed": (pb.PriorMap(masks=rle_masks(disks(), lambda _: True)), painted(disks())),
    "masks, uncompressed": (pb.PriorMap(masks=rle_masks(disks(), lambda _: False)), painted(disks())),
    "masks, both": (pb.PriorMap(masks=rle_masks(disks(), lambda index: index % 2 == 0)), painted(disks())),
    "of another size": (pb.PriorMap(raw=raw_map(PRIOR[:50, :71].copy())), PRIOR[:50, :71]),
}


def codec_labels(data: bytes) -> Array:
    return codec.decode(data).labels
