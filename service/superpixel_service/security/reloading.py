"""Certificate and token files that are reloaded when they change."""

import os
import stat
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from superpixel_service.config import flag

MAX_FILE_BYTES = 1 << 20
"""Far above the size of any certificate chain or token file; a larger file must be a mistake."""

_READINGS = 3
"""How often to try to read a set of files that keeps changing."""

_READ_OR_WRITE = 0o666

Value = TypeVar("Value")
_Signature = tuple[tuple[int, ...] | None, ...]

log = structlog.get_logger()


class UnusableFile(Exception):
    """A file cannot be read or used; the text names the file and the reason."""


class WatchedFiles(Generic[Value]):
    """The current contents of a set of files, as a value. All methods may be called from any thread.

    Each request for the value first checks the files with `stat`, which takes microseconds. If one has
    changed, all are read again together, so that a certificate is never combined with another one's key. This
    detects rewritten files, and replaced ones such as the symbolic links of a Kubernetes secret. If the new
    files cannot be used, the old value stays, and log and metrics report it.

    Args:
        name: their name in log and metrics.
        paths: the files.
        private: those that no other user may read or change; see `check_access`.
        parse: makes the value from the files' bytes, in the order of `paths`; raises `UnusableFile`.

    Attributes:
        name: as given.
        reloads: number of reloads, by result: "ok" and "failed".

    Raises:
        UnusableFile: the files cannot be used at the start.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        parse: Callable[[Sequence[bytes]], Value],
        private: Collection[Path] = (),
    ) -> None:
        self.name = name
        self.reloads = {"ok": 0, "failed": 0}
        self._paths = tuple(paths)
        self._parse = parse
        self._private = frozenset(private)
        self._lock = threading.Lock()
        self._problem: tuple[_Signature, str] | None = None
        contents, self._seen = self._read()
        self._in_use = self._seen
        self._value = parse(contents)

    def value(self) -> Value:
        """The value of the files, or their last usable value."""
        with self._lock:
            signature = self._look()
            if signature != self._seen:
                self._reload(signature)
            elif signature == self._in_use:  # readable again, perhaps
                self._problem = None
            return self._value

    @property
    def current(self) -> bool:
        """Whether the last value came from the files as they were then; False: they could not be used."""
        return self._problem is None

    def _reload(self, signature: _Signature) -> None:
        try:
            # An unreadable file is tried again at the next request; an unusable one after its next change.
            contents, self._seen = self._read()
            self._value = self._parse(contents)
        except Exception as error:  # noqa: BLE001 (the old value stays after any error)
            known = isinstance(error, UnusableFile)
            problem = signature, str(error) if known else f"{type(error).__name__}: {error}"
            if problem != self._problem:
                self._problem = problem
                self.reloads["failed"] += 1
                log.error("reload_failed", file=self.name, problem=problem[1])  # noqa: TRY400 (no traceback)
        else:
            self._in_use, self._problem = self._seen, None
            self.reloads["ok"] += 1
            log.info("reloaded", file=self.name)

    def _read(self) -> tuple[list[bytes], _Signature]:
        """The bytes of all files at one moment, and their signature then."""
        signature = self._look()
        for _ in range(_READINGS):
            contents = [_read_file(path, path in self._private) for path in self._paths]
            before, signature = signature, self._look()
            if signature == before:
                return contents, signature
        raise UnusableFile("changed while being read")

    def _look(self) -> _Signature:
        return tuple(map(_signature, self._paths))


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_access(path: Path, status: os.stat_result) -> None:
    """Check that other users may neither read nor change the file with this status.

    Its group may read it if it belongs to root or to another user. Kubernetes mounts a secret like this: root
    owns the file, and the server reads it as a member of the group.

    Raises:
        UnusableFile: they may; the text says how to change that.
    """
    owner = "" if status.st_uid in {0, os.geteuid()} else "; it belongs to another user"
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o700 if status.st_uid == os.geteuid() != 0 else 0o740
    if mode & ~allowed & _READ_OR_WRITE:
        raise UnusableFile(
            f"{path}: other users may read or change it (mode {mode:04o}{owner}): chmod 600, in Kubernetes "
            f"defaultMode 0440, or {flag('allow_shared_files')}=true"
        )


def _read_file(path: Path, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            if private:
                check_access(path, os.fstat(file.fileno()))
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnusableFile(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    if len(data) > MAX_FILE_BYTES:
        raise UnusableFile(f"{path}: has more than {MAX_FILE_BYTES} bytes")
    return data
