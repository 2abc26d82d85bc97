"""Opens Zarr groups, and gives their libraries' errors one line."""

import contextlib
from collections.abc import Iterator
from typing import Any

from superpixel_kernels.errors import KernelError
from superpixel_service.large.errors import Kind, LargeFailed, extra_missing, one_line


def zarr_library() -> Any:
    """The module zarr.

    Raises:
        LargeFailed: it is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise extra_missing("stores need", "large") from None
    return zarr


def open_group(address: str, *, writable: bool) -> Any:
    """Open a group; if `writable`, it is created if there is none.

    Raises:
        LargeFailed: it cannot be opened.
    """
    zarr = zarr_library()
    with failures_of(address):
        try:
            if writable:
                return zarr.open_group(address, mode="a", zarr_format=3)
            return zarr.open_group(address, mode="r")
        except FileNotFoundError as error:
            if writable:
                raise LargeFailed(f"{address}: cannot be made: {one_line(error)}") from None
            raise LargeFailed(f"{address}: there is no store", kind="missing") from None


@contextlib.contextmanager
def failures_of(address: str) -> Iterator[None]:
    """Turn errors of a store's file system and codecs into one line.

    Raises:
        LargeFailed: for the errors of files, and of every library but Python itself, NumPy and this project.
    """
    try:
        yield
    except (LargeFailed, KernelError):
        raise
    except OSError as error:
        text = error.strerror or one_line(error)
        raise LargeFailed(
            f"{error.filename or address}: {text[:1].lower()}{text[1:]}", kind="unreadable"
        ) from None
    except Exception as error:
        library = type(error).__module__.split(".")[0]
        if library in _GENERAL and not isinstance(error, _OF_CODECS):
            raise
        kind: Kind = "damaged" if library in {*_GENERAL, "zarr", "numcodecs"} else "unreadable"
        raise LargeFailed(f"{address}: {one_line(error)}", kind=kind) from None


_GENERAL = {"builtins", "numpy"}
_OF_CODECS = (RuntimeError, ValueError, KeyError)
"""What zarr-python and numcodecs raise for damaged chunks and missing arrays."""
