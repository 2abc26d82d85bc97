"""`superpixel migrate`: move label maps and selections to new superpixels, pixel for pixel."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidLabelMap
from superpixel_service.client.selection import Selection
from superpixel_service.commands.label_maps import ImageRejected, Parameters
from superpixel_service.commands.map_folder import lock
from superpixel_service.commands.migration import Job, Problems, Results, find_jobs
from superpixel_service.commands.output import (
    EXIT_USAGE,
    CommandFailed,
    UnusablePath,
    make_folder,
    read_file,
    say,
    write_json,
)
from superpixel_service.commands.progress import Progress, say_result
from superpixel_service.commands.segmenters import choose_segmenter
from superpixel_service.commands.stop_signals import StopSignals
from superpixel_service.commands.target import Target


class _NotMigrated(Exception):
    """This map stays as it is; others can be migrated."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the new maps shall have.

    Attributes:
        compactness: None: as each map says.
        counts: empty: as each map has.
    """

    compactness: float | None
    counts: tuple[int, ...]

    def parameters(self, label_map: codec.LabelMap) -> Parameters:
        """The parameters of the new map.

        Raises:
            _NotMigrated: the map does not say what they are, or they cannot be repeated.
        """
        provenance = label_map.provenance or codec.Provenance()
        if provenance.guidance is not None:
            raise _NotMigrated("was made with guidance, which the map does not contain")
        compactness = provenance.compactness if self.compactness is None else self.compactness
        if compactness is None:
            raise _NotMigrated("does not say its compactness: give --compactness")
        region = None
        if provenance.position is not None and provenance.picture_size is not None:
            size = (label_map.width, label_map.height)
            region = None if size == provenance.picture_size else (*provenance.position, *size)
        counts = self.counts
        if not counts and label_map.tree is None:
            levels = label_map.levels.counts if label_map.levels else ()
            counts = (label_map.count, *levels)
        hierarchy = bool(self.counts) or label_map.tree is not None
        return Parameters(counts, compactness, hierarchy, region=region)


@dataclass(slots=True)
class Report:
    """What a run did.

    Attributes:
        total: label maps in the folder.
        algorithm_version: of the new maps.
        made: the new maps.
        already_there: maps that an earlier run migrated.
        failed: maps that were not migrated.
        problems: a text per file with a problem.
    """

    total: int = 0
    algorithm_version: int = 0
    made: list[str] = field(default_factory=list)
    already_there: int = 0
    failed: int = 0
    problems: Problems = field(default_factory=Problems)

    @property
    def left(self) -> int:
        """Number of maps that remain."""
        return self.total - len(self.made) - self.already_there - self.failed

    def fail(self, job: Job, text: str) -> None:
        """Note that a map was not migrated."""
        self.failed += 1
        self.problems.add(job.label_map, text)

    def show(self, *, json: bool) -> None:
        """Write the report for people, or as JSON."""
        if json:
            write_json(
                {
                    "algorithm_version": self.algorithm_version,
                    "made": self.made,
                    "already_there": self.already_there,
                    "failed": [{"file": file, "problem": text} for file, text in self.problems.files],
                    "left": self.left,
                }
            )
            return
        say(*(f"{file}: {text}" for file, text in self.problems.files))
        say_result(len(self.made), self.already_there, self.failed, self.left)


def run(
    *,
    folder: Path,
    images: Path,
    out: Path,
    new_compactness: float | None,
    new_counts: list[int] | tuple[int, ...],
    server: Target | None,
    jobs: int,
    retry_for: float,
    json: bool,
) -> int:
    """Write OUT/a/b.jpg.spx and its moved selections for every FOLDER/a/b.jpg.spx."""
    original, target = folder.resolve(), out.resolve()
    if target == original or original in target.parents or target in original.parents:
        raise CommandFailed(
            f"{out}: must be another folder than {folder}, and neither in the other: originals are kept",
            status=EXIT_USAGE,
        )
    report = Report()
    found = find_jobs(folder, images, report.problems)
    report.total = len(found)
    make_folder(out)
    wanted = Wanted(new_compactness, tuple(sorted(set(new_counts))))
    stop = StopSignals()
    with lock(out):
        probe = choose_segmenter(Parameters((), 0.0, hierarchy=True), server, jobs, retry_for)
        report.algorithm_version = probe.algorithm_version()
        results = Results(folder, out, f"{report.algorithm_version} {wanted}")
        todo = _todo(stop.until_signal(found), wanted, results, report)
        try:
            with Progress(report.total) as progress:
                for parameters, group in groupby(todo, key=itemgetter(0)):
                    segmenter = choose_segmenter(parameters, server, jobs, retry_for)
                    pending: dict[Path, tuple[Job, str]] = {}
                    for image, result in segmenter.segment_many(_images(group, pending)):
                        job, inputs = pending.pop(image)
                        if isinstance(result, ImageRejected):
                            report.fail(job, str(result))
                        elif _migrate(job, result.spx, inputs, results, report) and not json:
                            progress.write(report.made[-1])
                        progress.show(len(report.made) + report.already_there, report.failed)
        finally:
            report.show(json=json)
    return stop.exit_status(left=report.left, failed=bool(report.problems.files))


def _todo(
    jobs: Iterable[Job], wanted: Wanted, results: Results, report: Report
) -> Iterator[tuple[Parameters, Job, str]]:
    """The jobs that are not done, with the parameters of their new maps and the digests of their files."""
    for job in jobs:
        try:
            inputs = results.inputs(job)
            if results.are_done(job, inputs):
                report.already_there += 1
                continue
            label_map = _decoded(job.label_map)
            provenance = label_map.provenance
            if provenance is not None and provenance.image_sha256 is not None:
                now = hashlib.sha256(read_file(job.image)).digest()
                if now != provenance.image_sha256:
                    raise _NotMigrated(f"was made from another image than {job.image}")  # noqa: TRY301
            parameters = wanted.parameters(label_map)
        except _NotMigrated as problem:
            report.fail(job, str(problem))
        except CommandFailed as problem:
            report.fail(job, "; ".join(problem.lines))
        else:
            yield parameters, job, inputs


def _images(
    group: Iterable[tuple[Parameters, Job, str]], pending: dict[Path, tuple[Job, str]]
) -> Iterator[Path]:
    for _, job, inputs in group:
        pending[job.image] = job, inputs
        yield job.image


def _migrate(job: Job, spx: bytes, inputs: str, results: Results, report: Report) -> bool:
    """Move the selections of a map to its new map, and write all; returns whether that was possible."""
    try:
        old, new = _decoded(job.label_map), codec.decode(spx)
        contents = {path: _moved(path, old, new) for path in job.selections}
        results.write(job, inputs, {**contents, job.label_map: spx})
    except _NotMigrated as problem:
        report.fail(job, str(problem))
    except UnusablePath as problem:
        report.fail(job, "; ".join(problem.lines))
    else:
        report.made.append(str(results.path_of(job.label_map)))
        return True
    return False


def _moved(path: Path, old: codec.LabelMap, new: codec.LabelMap) -> bytes:
    """The file of a selection, moved from its map to the new one."""
    try:
        selection = Selection.restore(old, read_file(path))
        selection.move_to(new)
    except codec.InvalidParameter as error:
        raise _NotMigrated(f"{path.name}: {error}") from None
    provenance = new.provenance or codec.Provenance()
    selection.parameters = {
        "compactness": provenance.compactness,
        "algorithm_version": new.algorithm_version,
    }
    return selection.to_json().encode("utf-8", "surrogatepass")


def _decoded(path: Path) -> codec.LabelMap:
    try:
        return codec.decode(read_file(path))
    except InvalidLabelMap as error:
        raise _NotMigrated(f"not a valid label map: {error}") from None
