"""Files on any file system that fsspec knows, by address: a path, or a URL such as s3://bucket/name."""

import contextlib
import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from superpixel_service.datasets.errors import DataSetFailed, Unreadable
from superpixel_service.datasets.retries import retried

_T = TypeVar("_T")

_PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_PERMANENT_ERRNO = frozenset(
    {errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ELOOP, errno.EINVAL}
)
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})
_MAX_TEXT = 200


class Storage:
    """Reads and writes files. Errors that may pass are retried. Threads may share it; it can be pickled.

    Args:
        retry_for: how long to try again if a file system does not answer, in seconds.
    """

    def __init__(self, retry_for: float = 30.0) -> None:
        self._retry_for = retry_for
        self._last_success = float("-inf")

    def __reduce__(self) -> tuple[object, ...]:
        return Storage, (self._retry_for,)

    def read(self, address: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a file of the source, or a part of it.

        Raises:
            Unreadable: this file cannot be read.
            DataSetFailed: the file system does not answer.
        """
        file_system, path = locate(address)
        end = None if length is None else start + length

        def read() -> bytes:
            data: bytes = file_system.cat_file(path, start=start or None, end=end)
            if length is not None and len(data) != length:
                raise Unreadable(f"ends after {len(data):,} of {length:,} bytes")
            self._last_success = time.monotonic()
            return data

        begin = time.monotonic()
        try:
            return self._retried(read, address)
        except DataSetFailed:
            raise
        except Exception as error:  # noqa: BLE001 (each driver has its own errors)
            # If the file system still serves other files, the fault is this file's.
            if is_permanent(error, address) or self._last_success > begin:
                raise Unreadable(reason(error)) from None
            raise DataSetFailed(f"{address}: {reason(error)}") from None

    def load(self, address: str, missing: bytes | None = None) -> bytes:
        """Read a file that the run needs.

        Args:
            address: of the file.
            missing: the result if there is no such file; None: this is an error.

        Raises:
            DataSetFailed: the file cannot be read.
        """
        file_system, path = locate(address)

        def load() -> bytes:
            try:
                return bytes(file_system.cat_file(path))
            except FileNotFoundError:
                if missing is None:
                    raise
                return missing

        return self.checked(load, address)

    def write(self, address: str, data: bytes | Path) -> None:
        """Write a file: complete or not at all. `data` are its bytes, or a local file that holds them.

        Raises:
            DataSetFailed: the file cannot be written.
        """
        try:
            self.try_write(address, data)
        except Exception as error:  # noqa: BLE001 (each driver has its own errors)
            raise DataSetFailed(f"{address}: {reason(error)}") from None

    def try_write(self, address: str, data: bytes | Path) -> None:
        """As `write`, but raises the file system's own error."""
        file_system, path = locate(address)

        def write() -> None:
            if is_local(address):
                _write_local(Path(path), data)
            elif isinstance(data, Path):
                file_system.put_file(str(data), path)
            else:
                file_system.pipe_file(path, data)

        self._retried(write, address)

    def list(self, folder: str) -> dict[str, dict[str, Any]]:
        """The files directly in a folder, by name; empty if there is no such folder.

        Raises:
            DataSetFailed: the folder cannot be listed.
        """
        file_system, path = locate(folder)

        def listed() -> dict[str, dict[str, Any]]:
            file_system.invalidate_cache()
            try:
                found = file_system.ls(path, detail=True)
            except FileNotFoundError:
                return {}
            return {each["name"].rsplit("/", 1)[-1]: each for each in found if each["type"] == "file"}

        return self.checked(listed, folder)

    def delete(self, address: str) -> None:
        """Delete a file. It is no error if there is none."""
        file_system, path = locate(address)

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                file_system.rm_file(path)

        self.checked(delete, address)

    def checked(self, function: Callable[[], _T], address: str) -> _T:
        """Call the function; retry it, and describe its error.

        Raises:
            DataSetFailed: it failed.
        """
        try:
            return self._retried(function, address)
        except DataSetFailed:
            raise
        except Exception as error:  # noqa: BLE001 (each driver has its own errors)
            raise DataSetFailed(f"{address}: {reason(error)}") from None

    def _retried(self, function: Callable[[], _T], address: str) -> _T:
        return retried(function, lambda error: is_permanent(error, address), self._retry_for)


def locate(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path there.

    Raises:
        DataSetFailed: the file system is unknown, or its driver is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise DataSetFailed(
            "data sets need the extra `bulk`: pip install 'superpixel-service[bulk]'"
        ) from None
    try:
        with _locating:
            found: tuple[Any, str] = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise DataSetFailed(f"{address}: {reason(error)}", usage=True) from None
    except Exception as error:  # noqa: BLE001
        raise DataSetFailed(f"{address}: {reason(error)}") from None
    return found


_locating = threading.Lock()


def is_local(address: str) -> bool:
    """Whether the address lies in this machine's own file system."""
    protocol = locate(address)[0].protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def local_path(address: str) -> Path | None:
    """The path of a local address; None: it is elsewhere."""
    return Path(locate(address)[1]) if is_local(address) else None


def join(folder: str, name: str) -> str:
    """The address of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def version_of(info: dict[str, Any]) -> str:
    """What a listing says about a file's content: its entity tag, or size and date; empty: nothing."""
    for name in ("ETag", "etag", "md5Hash", "content_md5"):
        if info.get(name):
            return str(info[name]).strip('"')
    for name in ("mtime", "LastModified", "last_modified", "updated", "modified"):
        if info.get(name):
            return f"{info.get('size', '')} {info[name]}"
    return ""


def is_permanent(error: Exception, address: str) -> bool:
    """Whether trying again is of no use."""
    if isinstance(error, (Unreadable, DataSetFailed, *_PERMANENT)):
        return True
    if isinstance(error, OSError) and error.errno in _PERMANENT_ERRNO:
        return True
    return type(error).__name__ in _NO_CREDENTIALS or is_local(address)


def reason(error: BaseException) -> str:
    """The error in one line, as in "no such file or directory"."""
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno != errno.EIO:
        text = os.strerror(error.errno)
    elif isinstance(error, FileNotFoundError):
        text = os.strerror(errno.ENOENT)
    elif isinstance(error, PermissionError):
        text = os.strerror(errno.EACCES)
    else:
        text = " ".join(str(error).split())[:_MAX_TEXT] or type(error).__name__
    return f"{text[:1].lower()}{text[1:]}"


def _write_local(path: Path, data: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, so that the longest name has a temporary one; its own process' alone, because runs share folders.
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    part = path.with_name(f".{digest}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
            else:
                file.write(data)
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
