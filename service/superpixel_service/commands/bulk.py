"""`superpixel bulk`: every image of a folder, in a run that may be stopped, killed and gone on with."""

import fcntl
import json
import os
import signal
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from superpixel_kernels.codec import layout
from superpixel_service.commands.label_maps import Maker, Parameters, Refused
from superpixel_service.commands.makers import choose
from superpixel_service.commands.output import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CannotPlace,
    CommandFailed,
    make_folder,
    read_file,
    reason,
    save,
    say,
    write,
)
from superpixel_service.commands.progress import Progress
from superpixel_service.commands.target import Target

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
RECORD = "superpixel-bulk.json"
"""Beside the label maps: the parameters they were made with."""

_END_OF_MAP = layout.SECTION.pack(layout.END, 0, 0)


def run(
    *,
    folder: Path,
    out: Path,
    counts: Sequence[int],
    compactness: float,
    hierarchy: bool,
    server: Target | None,
    jobs: int,
) -> int:
    """Write OUT/a/b.jpg.spx for every FOLDER/a/b.jpg that has none yet."""
    images = _find_images(folder)
    parameters = Parameters(tuple(counts), compactness, hierarchy or not counts)
    maker = choose(parameters, server, jobs)
    make_folder(out)
    with _lock(out):
        _check_record(out, _parameters(parameters, maker.algorithm_version()))
        todo = [image for image in images if not _is_done(image, _output_of(image, folder, out))]
        tally = Tally(total=len(images), before=len(images) - len(todo))
        stop = _Stop()
        try:
            _make(maker, stop.until(todo), folder, out, tally)
        except CommandFailed:
            _report(tally)
            raise
    _report(tally)
    if stop.number and tally.left:
        return 128 + stop.number
    return EXIT_FAILED if tally.failed else EXIT_OK


@dataclass
class Tally:
    """How far a run has come.

    Attributes:
        before: images that were finished when it began.
        failed: what is wrong with those that cannot be done.
    """

    total: int
    before: int
    made: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Images that the run has not come to."""
        return self.total - self.before - self.made - len(self.failed)


def _make(maker: Maker, todo: Iterable[Path], folder: Path, out: Path, tally: Tally) -> None:
    # Where the bar is drawn, lines on the same terminal would tear it.
    quiet = sys.stderr.isatty() and sys.stdout.isatty()
    with Progress(tally.total - tally.before) as progress:
        for image, result in maker.make_many(todo):
            if isinstance(result, Refused):
                tally.failed.append(str(result))
            else:
                output = _output_of(image, folder, out)
                try:
                    make_folder(output.parent)
                    save(output, result.spx)
                except CannotPlace as error:
                    tally.failed += error.lines
                else:
                    tally.made += 1
                    if not quiet:
                        write(str(output))
                        sys.stdout.flush()
            progress.show(tally.made, len(tally.failed))


def _report(tally: Tally) -> None:
    say(*tally.failed)
    say(f"{tally.made:,} made, {tally.before:,} already there, {len(tally.failed):,} failed")
    if tally.left:
        say(f"stopped with {tally.left:,} left; the same command goes on from here")


class _Stop:
    """SIGINT and SIGTERM: the first ends the taking of images; a second one ends the process at once."""

    def __init__(self) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._came)

    def until(self, images: Iterable[Path]) -> Iterator[Path]:
        """The images, up to the signal."""
        for image in images:
            if self.number:
                return
            yield image

    def _came(self, number: int, _frame: object) -> None:
        self.number = number
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)


def _find_images(folder: Path) -> list[Path]:
    """All images in the folder and those below it, by their names' endings, in a stable order."""
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise CommandFailed(f"{folder}: {problem}", status=EXIT_USAGE)
    found = []

    def refuse(error: OSError) -> None:
        raise CommandFailed(reason(error))

    for parent, folders, names in os.walk(folder, onerror=refuse):
        # Hidden files are other programs' own: thumbnails, and on some disks a shadow of every file.
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(filter(_may_be_read, found))


def _may_be_read(path: Path) -> bool:
    """Not of pipes, sockets and devices: whoever opens one may wait for ever. What is gone is told later."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _output_of(image: Path, folder: Path, out: Path) -> Path:
    path = out / image.relative_to(folder)
    return path.with_name(f"{path.name}.spx")


def _is_done(image: Path, output: Path) -> bool:
    """Whether the label map is there, whole, and no older than its image."""
    try:
        with output.open("rb") as file:
            whole = file.read(len(layout.MAGIC)) == layout.MAGIC
            file.seek(-len(_END_OF_MAP), os.SEEK_END)
            whole = whole and file.read() == _END_OF_MAP
        return whole and output.stat().st_mtime_ns >= image.stat().st_mtime_ns
    except OSError:
        return False


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """One run at a time in an output folder; however a run ends, the system takes its lock away."""
    try:
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise CommandFailed(reason(error, out)) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"{out}: another run is writing there") from None
        except OSError as error:  # not every network's file system has locks
            raise CommandFailed(f"cannot be locked: {reason(error, out)}") from None
        yield
    finally:
        os.close(descriptor)


def _check_record(out: Path, parameters: dict[str, object]) -> None:
    """Record the parameters of what is in the folder; refuse if they are others."""
    path = out / RECORD
    if not path.exists():
        save(path, json.dumps(parameters, indent=2).encode() + b"\n")
        return
    try:
        recorded = json.loads(read_file(path))
    except ValueError:
        recorded = None
    if not isinstance(recorded, dict):
        raise CommandFailed(f"{path}: damaged; choose another --out, or remove this folder")
    if recorded != parameters:
        differing = ", ".join(
            f"{name} {recorded.get(name)} there, {parameters.get(name)} now"
            for name in (*parameters, *sorted(recorded.keys() - parameters.keys()))
            if recorded.get(name) != parameters.get(name)
        )
        raise CommandFailed(
            f"{out}: holds label maps made with other parameters ({differing}); choose another --out",
            status=EXIT_USAGE,
        )


def _parameters(parameters: Parameters, algorithm_version: int) -> dict[str, object]:
    """What decides the label maps, beside the images."""
    return {
        "counts": list(parameters.counts),
        "compactness": parameters.compactness,
        "hierarchy": parameters.hierarchy,
        "algorithm_version": algorithm_version,
    }
