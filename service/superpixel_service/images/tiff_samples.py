"""Decodes TIFF files with Pillow: as stored, without their orientation; and all 16 bits of their samples."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from superpixel_service.images.header import check_same_size
from superpixel_service.images.samples16 import Samples16, join_bytes

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
_OTHER_BYTES = {"L": "B", "N": "B", "B": "L"}
"""By the byte order of a raw mode, which keeps the high bytes: the one that keeps the low bytes."""

_COLORS = ("RGB;16", "RGBA;16", "RGBX;16")


class StoredTiff(TiffImageFile):
    """A TIFF file whose pixels are those that it stores: the service applies the orientation itself."""

    def _open(self) -> None:
        super()._open()
        self._size = self._tile_size

    def load_end(self) -> None:
        """Leave the picture as it is."""


def read_tiff_samples(data: bytes, size: tuple[int, int]) -> Samples16:
    """Read a TIFF with samples of 16 bits, `size` pixels large as stored: gray, RGB or RGBA.

    Pillow keeps the high bytes of colour alone. So it decodes such a file twice, and takes the low bytes for
    the high ones in the second pass.

    Raises:
        Exception: the file is damaged, or has other samples.
    """
    first = _open(data, size)
    if first.mode.startswith("I;16"):
        inverted = first.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        first.load()
        gray = np.asarray(first).astype(np.uint16)[:, :, None]
        return Samples16(65535 - gray if inverted else gray)
    low = _open(data, size)
    low.tile = [_with_low_bytes(tile) for tile in low.tile]
    return Samples16(join_bytes(_decoded(first), _decoded(low)))


def _open(data: bytes, size: tuple[int, int]) -> StoredTiff:
    picture = StoredTiff(io.BytesIO(data))
    check_same_size(picture.size, size)
    return picture


def _decoded(picture: StoredTiff) -> NDArray[np.uint8]:
    picture.load()
    return np.asarray(picture)


def _with_low_bytes(tile: ImageFile._Tile) -> ImageFile._Tile:
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    raw_mode = str(args[0])
    if raw_mode[:-1] not in _COLORS:
        raise ValueError("samples of 16 bits must be gray, RGB or RGBA, one after the other")
    other = raw_mode[:-1] + _OTHER_BYTES[raw_mode[-1]]
    return tile._replace(args=(other, *args[1:]) if isinstance(tile.args, tuple) else other)
