"""Finds the images of a folder, and says what it leaves out and why."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from superpixel_service.commands.output import EXIT_USAGE, CommandFailed, reason
from superpixel_service.datasets.names import MAP_SUFFIX, SUFFIXES, suffix_of

_LISTED_SUFFIXES = 6


@dataclass
class Found:
    """The result of a search.

    Attributes:
        images: the images, sorted, by paths that begin with the folder.
        left_out: a message per thing that was left out on purpose.
        unreadable: subfolders that could not be read.
        problems: a message per unreadable subfolder.
    """

    images: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_images(folder: Path, ignore: Iterable[str] = ()) -> Found:
    """Find all image files in the folder and its subfolders, by their suffixes.

    Links to folders are followed. Each folder is searched once, so links may form a circle: under its own
    path if it lies in `folder`, else under the first link in alphabetical order.

    Args:
        folder: where to search.
        ignore: names of files that are not images and that no message mentions.

    Raises:
        CommandFailed: `folder` is not a folder, or cannot be read.
    """
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise CommandFailed(f"{folder}: {problem}", status=EXIT_USAGE)
    return _Search(folder, frozenset(ignore)).run()


class _Search:
    def __init__(self, folder: Path, ignore: frozenset[str]) -> None:
        self._folder = folder
        self._ignore = ignore
        self._found = Found()
        self._others: Counter[str] = Counter()
        self._links: list[Path] = []
        # A link to a folder that contains `folder` would lead to everything beside it.
        real = folder.resolve()
        self._above = {_identity(path) for path in real.parents}
        self._visited: set[tuple[int, int]] = set()

    def run(self) -> Found:
        self._search(self._folder)
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)
        found = self._found
        found.images.sort(key=lambda path: str(path).split("/"))  # as paths compare, but faster
        if self._others:
            kinds = [f"{number:,} {suffix}" for suffix, number in self._others.most_common(_LISTED_SUFFIXES)]
            if len(self._others) > _LISTED_SUFFIXES:
                kinds.append("...")
            total = self._others.total()
            files = "1 file has" if total == 1 else f"{total:,} files have"
            found.left_out.append(f"{files} other suffixes than {', '.join(SUFFIXES)} ({', '.join(kinds)})")
        return found

    def _follow(self, link: Path) -> None:
        try:
            identity = _identity(link)
        except OSError as error:
            self._fail(link, error)
            return
        if identity in self._above:
            self._found.left_out.append(f"{link}: a link to a folder that contains {self._folder}")
        elif identity in self._visited:
            self._found.left_out.append(f"{link}: a link to a folder that was searched under another path")
        else:
            self._search(link)

    def _search(self, top: Path) -> None:
        for parent, folders, names in os.walk(top, onerror=self._on_error):
            here = Path(parent)
            try:
                self._visited.add(_identity(here))
            except OSError as error:
                self._fail(here, error)
                folders.clear()
                continue
            # Hidden files belong to other programs: thumbnails, or macOS metadata beside every file.
            visible = [name for name in folders if not name.startswith(".")]
            self._links += [here / name for name in visible if (here / name).is_symlink()]
            folders[:] = [name for name in visible if not (here / name).is_symlink()]
            if top != self._folder:  # below a link, a real folder may have been searched under another path
                folders[:] = [name for name in folders if self._is_new(here / name)]
            for name in names:
                if not name.startswith(".") and name not in self._ignore:
                    self._file(here, name)

    def _is_new(self, folder: Path) -> bool:
        try:
            return _identity(folder) not in self._visited
        except OSError:
            return True  # reading it will report the error

    def _file(self, folder: Path, name: str) -> None:
        suffix = suffix_of(name)
        if suffix not in SUFFIXES:
            if suffix != MAP_SUFFIX:
                self._others[suffix or "without one"] += 1
            return
        path = folder / name
        if _may_be_file(path):
            self._found.images.append(path)
        else:
            self._found.left_out.append(f"{path}: not a regular file")

    def _on_error(self, error: OSError) -> None:
        path = Path(error.filename)
        if path == self._folder:
            raise CommandFailed(reason(error))
        self._fail(path, error)

    def _fail(self, path: Path, error: OSError) -> None:
        text = reason(error, path)
        self._found.unreadable.append(path)
        if path.name == "lost+found":  # the file system's own; only root can read it
            self._found.left_out.append(text)
        else:
            self._found.problems.append(text)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _may_be_file(path: Path) -> bool:
    """False for pipes, sockets and devices: reading one may block forever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # reading it will report the error
