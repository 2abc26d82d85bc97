"""How commands talk: data on standard output, messages on standard error, files all at once or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENGINE_DEAD = 70
"""A server that is to be started anew: the engine does not work any more (BSD's EX_SOFTWARE)."""


class CommandFailed(Exception):
    """The command cannot be done; what to tell the user, and the exit status."""

    def __init__(self, *lines: str, status: int = EXIT_FAILED) -> None:
        super().__init__(*lines)
        self.lines = lines
        self.status = status


class CannotPlace(CommandFailed):
    """A file cannot have that name or place; others can."""


_OF_THE_PLACE = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST})


def say(*lines: str) -> None:
    """Write messages to people on standard error."""
    for line in lines:
        print(f"superpixel: {line}", file=sys.stderr)  # noqa: T201


def write(*lines: str) -> None:
    """Write lines of data on standard output."""
    for line in lines:
        print(line)  # noqa: T201


def write_json(value: object) -> None:
    """Write one JSON value on standard output."""
    write(json.dumps(value, indent=2))


def write_table(rows: Iterable[Sequence[object]]) -> None:
    """Write rows of cells in columns, those with numbers set to the right."""
    columns = []
    for column in zip(*rows, strict=True):
        texts = [str(cell) for cell in column]
        width = max(map(len, texts))
        to_right = any(isinstance(cell, int) for cell in column)
        columns.append([text.rjust(width) if to_right else text.ljust(width) for text in texts])
    for cells in zip(*columns, strict=True):
        write("  ".join(cells).rstrip())


def write_facts(facts: Mapping[str, object]) -> None:
    """Write names and values, as people read them."""
    write_table((name, _for_people(value)) for name, value in facts.items())


def _for_people(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} ({_for_people(each)})" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_for_people, value))
    return str(value)


def read_file(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        CommandFailed: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(reason(error, path)) from None


def make_folder(path: Path) -> None:
    """Make the folder and those above it, if they are not there.

    Raises:
        CannotPlace: something else is in its place.
        CommandFailed: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(error, path) from None


def save(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the process ends.

    Raises:
        CannotPlace: not under that name; others may be.
        CommandFailed: it cannot be written.
    """
    part = part_of(path)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise _not_written(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Where a file is while it is written.

    Always the same, so that what a killed process left behind is written over by the next one; and short, so
    that whatever name a file can have, its part can, too.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".{digest}.part")


def _not_written(error: OSError, path: Path) -> CommandFailed:
    kind = CannotPlace if error.errno in _OF_THE_PLACE else CommandFailed
    return kind(reason(error, path))


def reason(error: OSError, path: Path | str | None = None) -> str:
    """What went wrong with a file, in the system's words: "photo.jpg: no such file or directory"."""
    text = os.strerror(error.errno) if error.errno else "cannot be read or written"
    return f"{path or error.filename or 'standard output'}: {text[:1].lower()}{text[1:]}"
