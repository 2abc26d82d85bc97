"""The golden values of guidance, from the algorithm page, for every implementation's tests; compactness 10.

Every sum is a CRC-32 of row-major little-endian int32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.kernels import images, reference

MAPS = {
    (120, 90): (0x72F7E817, 0xF5CC8654, 0xDDF4846F),
    (60, 40): (0x858AAAD4, 0x799DA25A, 0x06C68199),
    "scaled": (0x18204F4D, 0x8576D878, 0x2AF0D3E5),
}
"""Sums of the maps e, p and v of a size; "scaled": of maps of other sizes once scaled to 120x90."""

HASH_MAP = 0xDB398A8D
DOTS_MAP = 0xFA56A0E8


def _xy(width: int, height: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    y, x = np.indices((height, width))
    return x, y


def edges(width: int, height: int) -> npt.NDArray[np.uint8]:
    x, y = _xy(width, height)
    return ((3 * x + 7 * y) & 255).astype(np.uint8)


def prior(width: int, height: int) -> npt.NDArray[np.int32]:
    x, y = _xy(width, height)
    return (x // 17 + 100 * (y // 13)).astype(np.int32)


def importance(width: int, height: int) -> npt.NDArray[np.uint8]:
    x, _ = _xy(width, height)
    return ((2 * x) & 255).astype(np.uint8)


def hash_prior(width: int, height: int) -> npt.NDArray[np.int32]:
    """Four labels without any order: components of a pixel or two."""
    x, y = _xy(width, height)
    return (reference.edge_hash(x.ravel(), y.ravel()) & 3).astype(np.int32).reshape(height, width)


def dots_prior(width: int, height: int) -> npt.NDArray[np.int32]:
    """A label for each square of `images.dots`, 0 on the ground."""
    x, y = _xy(width, height)
    inside = (x % 16 < 6) & (y % 16 < 6)
    return np.where(inside, 1 + x // 16 + 1000 * (y // 16), 0).astype(np.int32)


def scaled_maps() -> dict[str, Any]:
    return {"edges": edges(37, 23), "prior": prior(200, 31), "importance": importance(50, 170)}


@dataclass(frozen=True)
class Row:
    """One row of the golden table.

    `rounds` and `collective_rounds` are of each run of stage merge: one, or two with a hard prior.
    """

    name: str
    image: str
    width: int
    height: int
    regions: int
    components: int | None
    edges: int
    rounds: tuple[int, ...]
    base: int
    merges: int
    maps: tuple[tuple[int, int], ...]
    collective_rounds: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.width}x{self.height}-{self.name.replace(' ', '-')}"

    def pixels(self) -> npt.NDArray[np.uint8]:
        build = {"golden": images.golden, "dots": images.dots}[self.image]
        return build(self.width, self.height)

    def guidance(self) -> dict[str, Any]:
        """The arguments of `Guidance`; maps of the image's size but for "scaled"."""
        size = (self.width, self.height)
        words = self.name.split()
        if "dots" in words:
            return {"prior": dots_prior(*size), "prior_mode": "hard"}
        if "hash" in words:
            return {"prior": hash_prior(*size), "prior_mode": words[0]}
        maps: dict[str, Any] = scaled_maps() if "scaled" in words else {}
        if words[0] in ("edges", "all"):
            maps.setdefault("edges", edges(*size))
            maps["edge_weight"] = 8 if "we8" in words else 2
        if words[0] in ("soft", "hard") or words[0] == "all":
            maps.setdefault("prior", prior(*size))
            maps["prior_mode"] = "hard" if "hard" in words else "soft"
            maps["prior_weight"] = 512 if "wp512" in words else 64
        if words[0] in ("importance", "all"):
            maps.setdefault("importance", importance(*size))
        return maps


ROWS = (
    Row("edges we2", "golden", 120, 90, 2705, None, 6459, (30,), 0x29A4DAF5, 0x1AECE7DD,
        ((50, 0x6908ABB6), (200, 0x923E9968))),
    Row("edges we8", "golden", 120, 90, 2705, None, 6459, (31,), 0x29A4DAF5, 0x5D2FBB7C,
        ((50, 0x4366736B), (200, 0xC8087E99))),
    Row("soft wp64", "golden", 120, 90, 2705, None, 6459, (30,), 0x29A4DAF5, 0x6134B239,
        ((50, 0x953EB3B0), (200, 0x88C369CC))),
    Row("soft wp512", "golden", 120, 90, 2705, None, 6459, (28,), 0x29A4DAF5, 0x62C38175,
        ((50, 0x531DEED1), (200, 0x6442590B))),
    Row("hard", "golden", 120, 90, 3151, 56, 7462, (18, 14), 0xF7108AAE, 0x3EB79221,
        ((50, 0x45550435), (200, 0x79659C6F), (56, 0x14447185))),
    Row("importance", "golden", 120, 90, 2705, None, 6459, (32,), 0x29A4DAF5, 0x0C757A22,
        ((50, 0xD6989F38), (200, 0x98FFB515))),
    Row("all soft", "golden", 120, 90, 2705, None, 6459, (31,), 0x29A4DAF5, 0xEE05F8C3,
        ((50, 0x21C995F6), (200, 0x87D3765E))),
    Row("all hard", "golden", 120, 90, 3151, 56, 7462, (17, 13), 0xF7108AAE, 0x91FC0151,
        ((50, 0xAD872B5F), (200, 0x4C2786AE), (56, 0x14447185))),
    Row("all soft scaled", "golden", 120, 90, 2705, None, 6459, (32,), 0x29A4DAF5, 0xE6196188,
        ((50, 0xF55DE5CE), (200, 0x60FF9C9A))),
    Row("soft hash", "golden", 120, 90, 2705, None, 6459, (30,), 0x29A4DAF5, 0x19B00AAA,
        ((50, 0x6C824C55), (200, 0x097D3C14))),
    Row("hard hash", "golden", 120, 90, 8419, 5664, 18161, (5, 34), 0x5ADE8BEE, 0x2BE7CCDF,
        ((50, 0x38FFA46C), (200, 0x8A87DE7D), (5664, 0x755B525F)), (1, 0)),
    Row("edges we2", "golden", 60, 40, 488, None, 1120, (26,), 0xA76442AE, 0xEB8F1972,
        ((50, 0x21B4FD3B), (200, 0x484E6D0E), (1500, 0xFB54CCCE))),
    Row("soft wp64", "golden", 60, 40, 488, None, 1120, (26,), 0xA76442AE, 0xF198E50E,
        ((50, 0x3B585842), (200, 0xE9F9A937), (1500, 0xFB54CCCE))),
    Row("hard", "golden", 60, 40, 585, 16, 1335, (16, 8), 0x72FA1BE9, 0x6E2EFBF8,
        ((50, 0x52083CEF), (200, 0xE96EBF9D), (16, 0x6254F62D), (1500, 0x0F175EE2))),
    Row("importance", "golden", 60, 40, 488, None, 1120, (26,), 0xA76442AE, 0x77AF0443,
        ((50, 0xEB353732), (200, 0x7D3E5366), (1500, 0xFB54CCCE))),
    Row("hard dots", "dots", 480, 320, 5839, 601, 14398, (29, 2), 0xD6E73161, 0x740126DD,
        ((50, 0xEAB63BFD), (200, 0x6C990B3F), (601, 0x0A433B60)), (2, 1)),
)  # fmt: skip
