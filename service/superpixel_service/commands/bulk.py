"""`superpixel bulk`: segment every image of a folder. A run may be stopped or killed, and continued later."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from superpixel_service.commands.data_set_options import DataSetOptions
from superpixel_service.commands.image_files import Found, find_images
from superpixel_service.commands.label_maps import ImageRejected, ImageSegmenter, Parameters
from superpixel_service.commands.map_folder import MapFolder, lock
from superpixel_service.commands.output import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    UnusablePath,
    make_folder,
    save,
    say,
)
from superpixel_service.commands.progress import Progress, say_result
from superpixel_service.commands.segmenters import choose_segmenter
from superpixel_service.commands.stop_signals import StopSignals
from superpixel_service.commands.target import Target
from superpixel_service.datasets.record import IMAGES, PARAMETERS

_LISTED_MAPS = 5


def run(
    *,
    source: str,
    out: str,
    parameters: Parameters,
    server: Target | None,
    jobs: int,
    checksum: bool,
    retry_for: float,
    report: str | None,
    failed_ok: bool,
    data_set: DataSetOptions,
) -> int:
    """Segment the images of SOURCE whose label maps are missing or out of date."""
    if not data_set.needed(source, out):
        status = _run_folder(Path(source), Path(out), parameters, server, jobs, checksum, retry_for, report)
    elif checksum:
        raise CommandFailed(
            "--checksum needs a local folder as FOLDER and as --out, and no flags of data sets",
            status=EXIT_USAGE,
        )
    elif server is not None and data_set.engine != "local":
        raise CommandFailed(f"--server cannot be combined with --engine {data_set.engine}", status=EXIT_USAGE)
    else:
        # Imported on demand: it needs the extra `bulk`.
        try:
            from superpixel_service.commands.bulk_data_set import run_data_set
        except ImportError as error:
            raise CommandFailed(
                f"data sets need {error.name}, of the extra `bulk`: pip install 'superpixel-service[bulk]'"
            ) from None

        status = run_data_set(source, out, parameters, server, jobs, retry_for, report, data_set)
    return EXIT_OK if failed_ok and status == EXIT_FAILED else status


def _run_folder(
    folder: Path,
    out: Path,
    parameters: Parameters,
    server: Target | None,
    jobs: int,
    checksum: bool,
    retry_for: float,
    report: str | None,
) -> int:
    """Write OUT/a/b.jpg.spx for every FOLDER/a/b.jpg whose label map is missing or out of date."""
    begin = time.monotonic()
    if parameters.guidance is not None:
        guidance = replace(parameters.guidance, images=folder)
        guidance.check()
        parameters = replace(parameters, guidance=guidance)
    found = find_images(folder, ignore=(PARAMETERS, IMAGES))
    segmenter = choose_segmenter(parameters, server, jobs, retry_for)
    make_folder(out)
    with lock(out):
        maps = MapFolder(folder, out, checksum=checksum, guidance=parameters.guidance)
        guidance_version = segmenter.guidance_version() if parameters.guidance else None
        maps.check_parameters(parameters, segmenter.algorithm_version(), guidance_version)
        todo, done = maps.split(found.images)
        tally = Tally(total=len(found.images), already_there=done)
        stop = StopSignals()
        try:
            _segment_all(segmenter, stop.until_signal(todo), maps, tally)
        except CommandFailed:
            _report(tally, found)
            raise
        _report_maps(maps.without_image(found.images, found.unreadable), folder)
    _report(tally, found)
    if report is not None:
        facts = {
            "images": tally.total,
            "made": tally.made,
            "already_there": tally.already_there,
            "failed": len(tally.failed),
            "left": tally.left,
            "seconds": round(time.monotonic() - begin, 3),
            "failures": tally.failed,
            "problems": found.problems,
            "left_out": found.left_out,
        }
        save(Path(report), json.dumps(facts, indent=2).encode() + b"\n")
    return stop.exit_status(left=tally.left, failed=bool(tally.failed or found.problems))


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


def _segment_all(segmenter: ImageSegmenter, todo: Iterable[Path], maps: MapFolder, tally: Tally) -> None:
    made_of = {}

    def noted() -> Iterator[Path]:
        # Taken before the image is read: an image that changes later differs from its record.
        for image in todo:
            made_of[image] = maps.fingerprint(image)
            yield image

    with Progress(tally.total - tally.already_there) as progress:
        for image, result in segmenter.segment_many(noted()):
            before_reading = made_of.pop(image)
            if isinstance(result, ImageRejected):
                tally.failed.append(str(result))
            else:
                output = maps.path_of(image)
                try:
                    make_folder(output.parent)
                    save(output, result.spx)
                except UnusablePath as error:
                    tally.failed += error.lines
                else:
                    maps.record(image, before_reading)
                    tally.made += 1
                    progress.write(str(output))
            progress.show(tally.made, len(tally.failed))


def _report(tally: Tally, found: Found) -> None:
    say(*(f"left out: {line}" for line in found.left_out))
    say(*found.problems, *tally.failed)
    say_result(tally.made, tally.already_there, len(tally.failed), tally.left)


def _report_maps(orphans: list[Path], folder: Path) -> None:
    if orphans:
        names = [str(path) for path in orphans[:_LISTED_MAPS]]
        if len(orphans) > _LISTED_MAPS:
            names.append("...")
        maps = "1 label map has" if len(orphans) == 1 else f"{len(orphans):,} label maps have"
        say(f"{maps} no image in {folder}: {', '.join(names)}")
