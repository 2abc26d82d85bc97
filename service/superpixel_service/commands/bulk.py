"""`superpixel bulk`: segment every image of a folder. A run may be stopped or killed, and continued later."""

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
from superpixel_service.commands.label_maps import ImageRejected, ImageSegmenter, Parameters
from superpixel_service.commands.output import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    UnusablePath,
    make_folder,
    read_file,
    reason,
    save,
    say,
    write,
)
from superpixel_service.commands.progress import Progress
from superpixel_service.commands.segmenters import choose_segmenter
from superpixel_service.commands.target import Target

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
RECORD = "superpixel-bulk.json"
"""The file in the output folder that records the parameters of its label maps."""

_END_OF_FILE = layout.SECTION.pack(layout.END, 0, 0)


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
    """Write OUT/a/b.jpg.spx for every FOLDER/a/b.jpg whose label map is missing or out of date."""
    images = _find_images(folder)
    parameters = Parameters(tuple(counts), compactness, hierarchy or not counts)
    segmenter = choose_segmenter(parameters, server, jobs)
    make_folder(out)
    with _lock(out):
        _check_record(out, _record(parameters, segmenter.algorithm_version()))
        todo = [image for image in images if not _is_done(image, _output_of(image, folder, out))]
        tally = Tally(total=len(images), already_there=len(images) - len(todo))
        stop = _StopSignals()
        try:
            _segment_all(segmenter, stop.until_signal(todo), folder, out, tally)
        except CommandFailed:
            _report(tally)
            raise
    _report(tally)
    if stop.number and tally.left:
        return 128 + stop.number
    return EXIT_FAILED if tally.failed else EXIT_OK


@dataclass
class Tally:
    """The progress of a run.

    Attributes:
        total: images in the folder.
        already_there: images whose label maps existed when the run began.
        made: label maps written by this run.
        failed: a message per image that failed.
    """

    total: int
    already_there: int
    made: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Number of images that remain."""
        return self.total - self.already_there - self.made - len(self.failed)


def _segment_all(
    segmenter: ImageSegmenter, todo: Iterable[Path], folder: Path, out: Path, tally: Tally
) -> None:
    # File names on the terminal of the progress line would garble it.
    quiet = sys.stderr.isatty() and sys.stdout.isatty()
    with Progress(tally.total - tally.already_there) as progress:
        for image, result in segmenter.segment_many(todo):
            if isinstance(result, ImageRejected):
                tally.failed.append(str(result))
            else:
                output = _output_of(image, folder, out)
                try:
                    make_folder(output.parent)
                    save(output, result.spx)
                except UnusablePath as error:
                    tally.failed += error.lines
                else:
                    tally.made += 1
                    if not quiet:
                        write(str(output))
                        sys.stdout.flush()
            progress.show(tally.made, len(tally.failed))


def _report(tally: Tally) -> None:
    say(*tally.failed)
    say(f"{tally.made:,} made, {tally.already_there:,} already there, {len(tally.failed):,} failed")
    if tally.left:
        say(f"stopped with {tally.left:,} left; run the same command again to continue")


class _StopSignals:
    """Handles SIGINT and SIGTERM. After the first signal no image is begun; a second one ends the process.

    Attributes:
        number: the number of the first signal; 0: there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def until_signal(self, images: Iterable[Path]) -> Iterator[Path]:
        """Yield images until the signal."""
        for image in images:
            if self.number:
                return
            yield image

    def _handle(self, number: int, _frame: object) -> None:
        self.number = number
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)


def _find_images(folder: Path) -> list[Path]:
    """All image files in the folder and its subfolders, by their suffixes, sorted."""
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise CommandFailed(f"{folder}: {problem}", status=EXIT_USAGE)
    found = []

    def fail(error: OSError) -> None:
        raise CommandFailed(reason(error))

    for parent, folders, names in os.walk(folder, onerror=fail):
        # Hidden files belong to other programs: thumbnails, or macOS metadata beside every file.
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(filter(_may_be_file, found))


def _may_be_file(path: Path) -> bool:
    """False for pipes, sockets and devices: reading one may block forever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # reading it will report the error


def _output_of(image: Path, folder: Path, out: Path) -> Path:
    path = out / image.relative_to(folder)
    return path.with_name(f"{path.name}.spx")


def _is_done(image: Path, output: Path) -> bool:
    """Whether the label map exists, is complete, and is not older than its image."""
    try:
        with output.open("rb") as file:
            complete = file.read(len(layout.MAGIC)) == layout.MAGIC
            file.seek(-len(_END_OF_FILE), os.SEEK_END)
            complete = complete and file.read() == _END_OF_FILE
        return complete and output.stat().st_mtime_ns >= image.stat().st_mtime_ns
    except OSError:
        return False


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Lock the output folder: one run at a time. The system releases the lock however the run ends."""
    try:
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise CommandFailed(reason(error, out)) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"{out}: another run is writing there") from None
        except OSError as error:  # some network file systems have no locks
            raise CommandFailed(f"cannot be locked: {reason(error, out)}") from None
        yield
    finally:
        os.close(descriptor)


def _check_record(out: Path, parameters: dict[str, object]) -> None:
    """Record the parameters of the label maps in the folder, or compare them with the record.

    Raises:
        CommandFailed: the record has other parameters, or is damaged.
    """
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


def _record(parameters: Parameters, algorithm_version: int) -> dict[str, object]:
    """Everything that the label maps depend on, besides the images."""
    return {
        "counts": list(parameters.counts),
        "compactness": parameters.compactness,
        "hierarchy": parameters.hierarchy,
        "algorithm_version": algorithm_version,
    }
