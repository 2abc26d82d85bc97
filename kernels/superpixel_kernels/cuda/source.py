"""The kernels' source text: each `.cu` file with its headers inserted.

CuPy caches compiled kernels on disk, under a hash of the source and the options. It does not read headers, so
after a change in a header it would still use the old kernel.
"""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE_FOLDERS = (FOLDER, FOLDER.parent / "include")
OPTIONS = ("--std=c++17", "--fmad=false")
"""For NVRTC and nvcc. No fused multiply-add, so that every engine rounds alike."""

_INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
_PRAGMA_ONCE = re.compile(r"^#pragma once$", re.MULTILINE)


def file_of(kernel: str) -> str:
    """The name, without suffix, of the file that contains a kernel: `merge` for `merge_rounds`."""
    return kernel.partition("_")[0]


def files() -> tuple[str, ...]:
    """The names, without suffix, of all files with kernels."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.cu")))


@cache
def source(file: str) -> str:
    """The text of a file with all its headers.

    Args:
        file: its name without suffix.

    Raises:
        FileNotFoundError: there is no such file, or it includes a file that does not exist.
    """
    seen: set[Path] = set()

    def expand(path: Path) -> str:
        if path in seen:
            return ""
        seen.add(path)
        text = _PRAGMA_ONCE.sub("", path.read_text(encoding="utf-8"))
        return _INCLUDE.sub(lambda match: expand(_find(match[1])), text)

    return expand(FOLDER / f"{file}.cu")


def _find(name: str) -> Path:
    for folder in INCLUDE_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(name)
