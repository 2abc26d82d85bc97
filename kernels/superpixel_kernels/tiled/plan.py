"""How an image is divided into tiles."""

from collections.abc import Iterator
from dataclasses import dataclass

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage, InvalidParameter
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.tiled.store import Tile, Window

MAX_TILED_PIXELS = 2**36
"""Largest image of a tiled run, in pixels."""

MAX_SIDE = 2**31 - 2**16

DEFAULT_TILE = 2048

MAX_TILE = 8192
"""Longest side of a tile, in pixels. A tile takes about 33 bytes per pixel while it is computed."""


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one run. It can be pickled, so that other machines can compute tiles too.

    Attributes:
        params: of the segmentation.
        height: of the image, in pixels.
        width: of the image, in pixels.
        channels: of the source: 1, 3 or 4.
        tile: side of a tile, in pixels; tiles at the lower and the right edge may be smaller.

    Raises:
        InvalidImage: the image has no pixels, or too many.
        InvalidParameter: the side of a tile is out of range.
    """

    params: SegmentParams
    height: int
    width: int
    channels: int
    tile: int = DEFAULT_TILE

    def __post_init__(self) -> None:
        if isinstance(self.tile, bool) or not isinstance(self.tile, int) or not 1 <= self.tile <= MAX_TILE:
            raise InvalidParameter("tile", f"must be an integer from 1 to {MAX_TILE}, got {self.tile!r}")
        size = f"{self.height} x {self.width}"
        if not 1 <= self.height * self.width <= MAX_TILED_PIXELS:
            raise InvalidImage(f"source: must have from 1 to 2^36 pixels, got {size}")
        if max(self.height, self.width) > MAX_SIDE:
            raise InvalidImage(f"source: a side must be at most {MAX_SIDE} pixels, got {size}")

    @property
    def step(self) -> int:
        """Side of a grid cell, in pixels."""
        return _engine.grid(self.width, self.height)[0]

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.tile)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.tile)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Tile]:
        return ((row, column) for row in range(self.rows) for column in range(self.columns))

    def window(self, tile: Tile) -> Window:
        """The pixels of a tile."""
        y, x = tile[0] * self.tile, tile[1] * self.tile
        return y, min(y + self.tile, self.height), x, min(x + self.tile, self.width)

    def crop(self, tile: Tile) -> Window:
        """The pixels that are needed to compute a tile: its own and a margin of `TILE_MARGIN` grid cells."""
        y0, y1, x0, x1 = self.window(tile)
        step, columns, rows = _engine.grid(self.width, self.height)
        return (
            *_with_margin(y0, y1, self.height, step, rows),
            *_with_margin(x0, x1, self.width, step, columns),
        )


def _with_margin(begin: int, end: int, side: int, step: int, cells: int) -> tuple[int, int]:
    """A range of pixels with the margin, between borders of grid cells."""
    first = max(0, min(begin // step, cells - 1) - _engine.TILE_MARGIN)
    last = min(cells, min((end - 1) // step, cells - 1) + 1 + _engine.TILE_MARGIN)
    return first * step, side if last == cells else last * step
