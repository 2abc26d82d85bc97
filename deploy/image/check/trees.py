"""Comparison of file systems: everything except times."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, tuple[Any, ...]]
"""Per relative path: mode, user, group, and content (SHA-256, link target or device number)."""


def tree(root: Path) -> Tree:
    """Read everything below `root`."""
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            state = path.lstat()
            content: object = None
            if stat.S_ISLNK(state.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(state.st_mode):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
                content = state.st_rdev
            found[str(path.relative_to(root))] = (state.st_mode, state.st_uid, state.st_gid, content)
    return found


def digest(entries: Tree) -> str:
    """Return one hash of a whole tree."""
    return hashlib.sha256(json.dumps(sorted(entries.items())).encode()).hexdigest()


def differences(one: Tree, other: Tree) -> list[str]:
    """Return the paths that differ, or that only one tree has."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
