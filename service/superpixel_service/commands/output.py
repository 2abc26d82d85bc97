"""The output of commands: data on standard output, messages on standard error, files written atomically."""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENGINE_DEAD = 70
"""The engine has failed permanently, so the server must be restarted (BSD's EX_SOFTWARE)."""


class CommandFailed(Exception):
    """The command failed. Carries the lines to show to the user, and the exit status."""

    def __init__(self, *lines: str, status: int = EXIT_FAILED) -> None:
        super().__init__(*lines)
        self.lines = lines
        self.status = status


class UnusablePath(CommandFailed):
    """A file cannot be written to this path; files with other paths can."""


_PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST})


def say(*lines: str) -> None:
    """Write messages for the user to standard error."""
    for line in lines:
        print(f"superpixel: {line}", file=sys.stderr)  # noqa: T201


def write(*lines: str) -> None:
    """Write lines of data to standard output."""
    for line in lines:
        print(line)  # noqa: T201


def write_json(value: object) -> None:
    """Write one JSON value to standard output."""
    write(json.dumps(value, indent=2))


def write_table(rows: Iterable[Sequence[object]]) -> None:
    """Write rows of cells as aligned columns; columns with whole numbers are right-aligned."""
    columns = []
    for column in zip(*rows, strict=True):
        texts = [str(cell) for cell in column]
        width = max(map(len, texts))
        right_aligned = any(isinstance(cell, int) for cell in column)
        columns.append([text.rjust(width) if right_aligned else text.ljust(width) for text in texts])
    for cells in zip(*columns, strict=True):
        write("  ".join(cells).rstrip())


def write_facts(facts: Mapping[str, object]) -> None:
    """Write a table of names and values, formatted for people."""
    write_table((name, _formatted(value)) for name, value in facts.items())


def _formatted(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} ({_formatted(each)})" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_formatted, value))
    return str(value)


def read_file(path: Path) -> bytes:
    """Read the file.

    Raises:
        CommandFailed: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(reason(error, path)) from None


def make_folder(path: Path) -> None:
    """Create the folder and its parents, if they do not exist.

    Raises:
        UnusablePath: something else has this path.
        CommandFailed: the folder cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(error, path) from None


def save(path: Path, data: bytes) -> None:
    """Write a file atomically: it is complete or does not exist, even if the process is killed.

    Raises:
        UnusablePath: the file cannot be written to this path.
        CommandFailed: the file cannot be written.
    """
    part = part_of(path)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise _write_error(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def append(path: Path, data: bytes) -> None:
    """Append to a file, which is created if it does not exist.

    Raises:
        CommandFailed: the file cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        raise CommandFailed(reason(error, path)) from None


def read_entries(path: Path) -> Iterator[Any]:
    """The JSON values in the lines of a file that grows by `append`; none if it does not exist.

    A line that a killed run did not finish is skipped.

    Raises:
        CommandFailed: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandFailed(reason(error, path)) from None
    if data and not data.endswith(b"\n"):
        append(path, b"\n")
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def part_of(path: Path) -> Path:
    """The temporary path of a file that is being written.

    It depends only on the path, so that a new run overwrites what a killed run left behind. It is short, so
    that even the longest file name has a temporary path.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".{digest}.part")


def _write_error(error: OSError, path: Path) -> CommandFailed:
    failure = UnusablePath if error.errno in _PATH_ERRORS else CommandFailed
    return failure(reason(error, path))


def reason(error: OSError, path: Path | str | None = None) -> str:
    """The file and the system's error text, as in "photo.jpg: no such file or directory"."""
    text = os.strerror(error.errno) if error.errno else "cannot be read or written"
    return f"{path or error.filename or 'standard output'}: {text[:1].lower()}{text[1:]}"
