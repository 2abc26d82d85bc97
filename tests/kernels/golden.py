"""The golden values of the algorithm page, for every implementation's tests.

Every sum is a CRC-32 of row-major little-endian int32.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.kernels import images

TABLES = {"LIN": (0x9B8A2B53, 5217863), "F": (0x2D6C3AE1, 100680857)}
"""CRC-32 and sum of the tables of stage color."""

COLORS = {
    (0, 0, 0): (0, 640, 640),
    (255, 255, 255): (400, 640, 640),
    (255, 0, 0): (213, 1041, 976),
    (0, 255, 0): (351, 209, 1056),
    (0, 0, 255): (129, 1036, 101),
    (1, 2, 3): (2, 640, 637),
}
"""(R, G, B) to (L, A, B)."""

HASHES = {(0, 1): 0x58F54975, (1, 2): 0xBE477FA1, (7, 123456): 0x853521B7}
"""(a, b) to the hash of the edge."""


@dataclass(frozen=True)
class Row:
    """One row of the golden table."""

    image: str
    width: int
    height: int
    compactness: float
    regions: int
    edges: int
    rounds: int
    collective_rounds: int
    smooth: int | None
    base: int
    merges: int
    maps: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.image}-{self.width}x{self.height}-k{self.compactness:g}"

    def pixels(self) -> npt.NDArray[np.uint8]:
        build = {"golden": images.golden, "dots": images.dots}[self.image]
        return build(self.width, self.height)


ROWS = (
    Row(
        "golden", 120, 90, 10.0, 2705, 6459, 31, 0, 0x0CA43178, 0x29A4DAF5, 0x280A399E,
        ((50, 0xD7C3F373), (200, 0x4C3BBF72), (2000, 0xBF22B5D8)),
    ),
    Row(
        "golden", 120, 90, 0.0, 3582, 8495, 38, 0, 0x0CA43178, 0x96C83593, 0x563D9BA0,
        ((50, 0xC0DEBE22), (200, 0xD271DFF8), (2000, 0x92743B49)),
    ),
    Row(
        "golden", 301, 300, 10.0, 19436, 46626, 40, 0, 0x5A05F524, 0x3E7B9A4A, 0x8BA763F5,
        ((50, 0xF39EE3AE), (200, 0xB2375D46), (2000, 0x0F046CAF)),
    ),
    Row(
        "golden", 37, 1, 10.0, 9, 8, 7, 0, 0x55F5A860, 0x3D64051F, 0x52808531,
        ((5, 0x16E85889), (9, 0x3D64051F), (30, 0x761296FB)),
    ),
    Row(
        "golden", 700, 400, 12.34, 44761, 104840, 42, 0, 0x6D4720E4, 0x75DF19A0, 0x6408C3F7,
        ((50, 0x53DD11A7), (2000, 0x736EB142)),
    ),
    Row(
        "golden", 60, 40, 10.0, 488, 1120, 26, 0, 0xFAB4FB80, 0xA76442AE, 0x490C787C,
        ((50, 0x887C73A2), (1500, 0xFB54CCCE), (2399, 0x8D125B3C)),
    ),
    Row(
        "dots", 480, 320, 10.0, 5839, 14398, 32, 1, None, 0xD6E73161, 0xF5E5AE00,
        ((50, 0x719FD006), (200, 0x0899A9F1), (2000, 0xA35859E1)),
    ),
)  # fmt: skip


def crc(array: npt.NDArray[np.generic]) -> int:
    """CRC-32 of the array as int32; a merge list counts as rows (height bits, round, a, b)."""
    if array.dtype.names is None:
        array = array.astype("<i4")
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def interleaved(planes: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """(3, height, width) to (height, width, 3), the order in which the page sums planes."""
    return np.moveaxis(planes, 0, 2)
