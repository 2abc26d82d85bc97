"""Where a tiled run keeps its tiles: the protocol, and the store that is a folder of files."""

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.errors import InvalidParameter, StoreError

Window = tuple[int, int, int, int]
"""A rectangle of an image: (y0, y1, x0, x1), rows y0 to y1 - 1 and columns x0 to x1 - 1."""

Tile = tuple[int, int]
"""A tile: its row and its column among the tiles, both from 0."""

FORMAT = 1
"""Version of what a run keeps in its store; see `TileStore`."""

_UNFINISHED = ".writing-"


@runtime_checkable
class TileStore(Protocol):
    """Keeps the arrays and the state of one tiled run.

    A run writes its state before its first array. Several threads may call `put` and `get` at the same
    time, each for another tile. The arrays, of a tile with L local regions and of a run with R base regions:

    - `labels` of a tile: (h, w) int32. The local region of each of its pixels, 0..L-1.
    - `graph` of a tile: (n,) int32. What the tile found, for the graph. It is put last: the tile is done.
    - `ids` of a tile: (L,) int32. The base region of each local region; -1 for those outside the mask.
    - `sums` of the run: (R, 4) int32. Of each base region its pixels, and the sums of L, A and B over them.
    - `merges` of the run: (R - 1, 4) int32, the rows of `MERGE_DTYPE`.

    So the base region of a pixel is `ids[labels[y, x]]`. Tile (i, j) begins at row i * T and column j * T;
    those at the lower and the right edge end where the image ends. The state is an object with these members:

    - `format`: 1 (`FORMAT`), the version of this list.
    - `algorithm_version`, `compactness`: of the run.
    - `shape`: [height, width]; `channels`: of the source; `tile`: T, in pixels.
    - `source`: the fingerprint of the source, a string or null.
    - `guidance`: null, or an object that says which maps and mask the run follows, and their weights.
    - `base_count`: R; null until the run is complete.
    - `prior_components`: with a hard prior, as in `Hierarchy`; otherwise null.
    """

    def read_state(self) -> dict[str, Any] | None:
        """The state that was written last; None if there is none.

        Raises:
            StoreError: it cannot be read.
        """

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state, a JSON object. After a kill, `read_state` gives the old or the new one.

        Raises:
            OSError: it cannot be written.
        """

    def put(self, name: str, tile: Tile | None, array: NDArray[Any]) -> None:
        """Keep an array, or replace it. After a kill, `get` gives the old array or the new one, or None.

        Raises:
            OSError: it cannot be written, for instance because the disk is full.
        """

    def get(self, name: str, tile: Tile | None, window: Window | None = None) -> NDArray[Any] | None:
        """An array that was put; None if it is not there or not whole.

        Args:
            name: of the array.
            tile: the tile that it belongs to; None: it belongs to the whole run.
            window: the part of a two-dimensional array to read, counted from its own first row and column;
                None: all of it.

        Raises:
            OSError: it cannot be read.
        """


class FolderStore:
    """A store that is a folder: `state.json`, and an `.npy` file per array.

    Args:
        folder: made if it is not there.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"store: cannot make the folder {self.folder}: {error.strerror}") from error

    def read_state(self) -> dict[str, Any] | None:
        """See `TileStore`."""
        path = self.folder / "state.json"
        try:
            state = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"store: cannot read {path}: {error}") from error
        if not isinstance(state, dict):
            raise StoreError(f"store: {path} is not a JSON object")
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """See `TileStore`."""
        content = json.dumps(state, indent=1).encode()
        # A run writes its state before and after all arrays: what is unfinished now is left from a kill.
        for place in (self.folder, *(self.folder / name for name in ("labels", "graph", "ids"))):
            for unfinished in place.glob(f"{_UNFINISHED}*"):
                unfinished.unlink(missing_ok=True)
        self._replace(self.folder / "state.json", lambda file: file.write(content))

    def put(self, name: str, tile: Tile | None, array: NDArray[Any]) -> None:
        """See `TileStore`."""
        path = self._path(name, tile)
        path.parent.mkdir(exist_ok=True)
        self._replace(path, lambda file: _write_array(file, np.ascontiguousarray(array)))

    def get(self, name: str, tile: Tile | None, window: Window | None = None) -> NDArray[Any] | None:
        """See `TileStore`."""
        path = self._path(name, tile)
        try:
            if window is None:
                whole: NDArray[Any] = np.load(path, allow_pickle=False)
                return whole
            y0, y1, x0, x1 = window
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[y0:y1, x0:x1])
        except FileNotFoundError:
            return None
        except (ValueError, EOFError):  # cut short, by a power failure for instance
            return None

    def _path(self, name: str, tile: Tile | None) -> Path:
        return self.folder / (f"{name}.npy" if tile is None else f"{name}/{tile[0]:05d}_{tile[1]:05d}.npy")

    @staticmethod
    def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
        """Write a file under another name first, so that a kill leaves the old file or the new one."""
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise


def _write_array(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write the .npy format. NumPy's own function does not say that a disk is full."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array.data)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Name what could not be written.

    Raises:
        StoreError: instead of an OSError.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"store: {what} cannot be written: {error.strerror or error}") from error


def temporary_store() -> TileStore:
    """A store in a folder that is removed together with the last object that uses it."""
    folder = tempfile.mkdtemp(prefix="superpixel-tiled-")
    store = FolderStore(folder)
    weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store


def as_store(store: object) -> TileStore:
    """A store from a path, or the store itself.

    Raises:
        InvalidParameter: neither a path nor a store.
        StoreError: the folder cannot be made.
    """
    if isinstance(store, str | os.PathLike):
        return FolderStore(store)
    if isinstance(store, TileStore):
        return store
    raise InvalidParameter("store", f"must be a path or a TileStore, got {type(store).__name__}")
