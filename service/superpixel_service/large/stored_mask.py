"""Which pixels of an image are valid, kept by a run."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superpixel_service.large.layout import SHARD
from superpixel_service.large.source import Mask, Window


class StoredMask:
    """Which pixels are valid, as the run keeps it: a file per shard that has others; sliced like an array."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.shape = (height, width)
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._names = {file.stem for file in folder.glob("*.npy")}

    def put(self, shard: Window, valid: Mask) -> None:
        """Keep the mask of a shard."""
        name = f"{shard.y}-{shard.x}"
        file = io.BytesIO()  # NumPy does not say that a disk is full
        np.save(file, np.packbits(valid, axis=1))
        (self._folder / f"{name}.npy").write_bytes(file.getvalue())
        self._names.add(name)

    @property
    def exists(self) -> bool:
        """Whether some pixel is not valid."""
        return bool(self._names)

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[np.bool_]:
        rows, columns = index
        width = self.shape[1]
        out = np.ones((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
        side = SHARD
        for y in range(rows.start // side * side, rows.stop, side):
            for x in range(columns.start // side * side, columns.stop, side):
                if f"{y}-{x}" not in self._names:
                    continue
                packed = np.load(self._folder / f"{y}-{x}.npy")
                part = np.unpackbits(packed, axis=1, count=min(side, width - x)).astype(np.bool_)
                top, left = max(rows.start, y), max(columns.start, x)
                bottom, right = min(rows.stop, y + side), min(columns.stop, x + side)
                out[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = (
                    part[top - y : bottom - y, left - x : right - x]
                )
        return out
