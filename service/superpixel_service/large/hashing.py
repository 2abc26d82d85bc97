"""The SHA-256 of a source, so that a store says what it was made from, and a run notices a changed file."""

import hashlib
import os
from pathlib import Path

from superpixel_service.large.errors import LargeFailed

_CHUNK = 1 << 22


def hash_source(address: str) -> str:
    """The SHA-256 of a file; of a folder, that of the names, sizes and bytes of its files, by name.

    Returns:
        64 hexadecimal digits; empty for an address that is no path.

    Raises:
        LargeFailed: a file cannot be read.
    """
    if "://" in address:
        return ""
    path = Path(address)
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            for file in files:
                name = os.fsencode(file.relative_to(path))
                digest.update(len(name).to_bytes(4, "little") + name)
                digest.update(file.stat().st_size.to_bytes(8, "little"))
                _update(digest, file)
        else:
            _update(digest, path)
    except OSError as error:
        raise LargeFailed(
            f"{error.filename or path}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    return digest.hexdigest()


def version_of(address: str) -> str:
    """Size and date of a file, or of the newest file of a folder; changes if the file is written again."""
    if "://" in address:
        return ""
    path = Path(address)
    try:
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        states = [file.stat() for file in files]
    except OSError as error:
        raise LargeFailed(
            f"{error.filename or path}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    size = sum(state.st_size for state in states)
    return f"{len(states)} {size} {max((state.st_mtime_ns for state in states), default=0)}"


def _update(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
