"""Files that are read again when they change: certificates and tokens."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

MAX_FILE_BYTES = 1 << 20
"""Far above any certificate chain or list of tokens: what is larger was named by mistake."""

_READINGS = 3
"""Tries to read a set of files between two changes of it."""

Value = TypeVar("Value")
_Signature = tuple[tuple[int, ...] | None, ...]

log = structlog.get_logger()


class UnusableFile(Exception):
    """A file cannot be read, or what it holds is of no use; the text says which and why, for the operator."""


class WatchedFiles(Generic[Value]):
    """What a set of files holds, as of now. All methods may be called from any thread.

    Whoever asks for the value looks at the files first: a `stat` of each, some microseconds. They are read
    again when one of them has changed, all of them together, so that a certificate is never taken with
    another one's key. Replaced files, such as the symbolic links of a Kubernetes secret, and rewritten ones
    are both seen. What cannot be used changes nothing: the old value stays, and log and metric say so.

    Args:
        name: what to call them in log and metrics.
        paths: the files.
        parse: makes the value of the files' bytes, in the order of `paths`; raises `UnusableFile`.

    Attributes:
        name: as given.
        reloads: how often they were read again, by "ok" and "failed".

    Raises:
        UnusableFile: they are of no use from the beginning.
    """

    def __init__(self, name: str, paths: Sequence[Path], parse: Callable[[Sequence[bytes]], Value]) -> None:
        self.name = name
        self.reloads = {"ok": 0, "failed": 0}
        self._paths = tuple(paths)
        self._parse = parse
        self._lock = threading.Lock()
        self._problem: tuple[_Signature, str] | None = None
        contents, self._seen = self._read()
        self._in_use = self._seen
        self._value = parse(contents)

    def value(self) -> Value:
        """What the files hold, or held when they were last of use."""
        with self._lock:
            signature = self._look()
            if signature != self._seen:
                self._reload(signature)
            elif signature == self._in_use:  # again, perhaps: it was not to be read for a while
                self._problem = None
            return self._value

    @property
    def current(self) -> bool:
        """Whether the value last given is what the files held then; False: they could not be used."""
        return self._problem is None

    def _reload(self, signature: _Signature) -> None:
        try:
            # What cannot be read is tried again by the next who asks; what cannot be parsed, after a change.
            contents, self._seen = self._read()
            self._value = self._parse(contents)
        except Exception as error:  # noqa: BLE001 (whatever it is, the old value stays, and it is told)
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
        """The files' bytes, all of one moment, and their signature at that moment."""
        signature = self._look()
        for _ in range(_READINGS):
            contents = [_read_file(path) for path in self._paths]
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


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnusableFile(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    if len(data) > MAX_FILE_BYTES:
        raise UnusableFile(f"{path}: has more than {MAX_FILE_BYTES} bytes")
    return data
