"""How commands talk: data on standard output, messages on standard error, files all at once or not at all."""

import contextlib
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
        CommandFailed: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(reason(error, path)) from None


def save(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the process ends.

    Raises:
        CommandFailed: it cannot be written.
    """
    # A fixed name: what a killed process left behind is written over by the next one.
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise CommandFailed(reason(error, path)) from None


def reason(error: OSError, path: Path | str | None = None) -> str:
    """What went wrong with a file, in the system's words: "photo.jpg: no such file or directory"."""
    text = os.strerror(error.errno) if error.errno else "cannot be read or written"
    return f"{path or error.filename or 'standard output'}: {text[:1].lower()}{text[1:]}"
