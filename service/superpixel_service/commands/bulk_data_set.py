"""`superpixel bulk` for data sets: any source, a manifest, in this process or on a Ray cluster."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import superpixel_kernels as kernels
from superpixel_service import __version__
from superpixel_service.commands.data_set_options import DataSetOptions
from superpixel_service.commands.image_files import find_images
from superpixel_service.commands.label_maps import Parameters
from superpixel_service.commands.map_folder import record_of
from superpixel_service.commands.output import EXIT_FAILED, EXIT_USAGE, CommandFailed, say
from superpixel_service.commands.progress import Progress, say_result
from superpixel_service.commands.stop_signals import StopSignals
from superpixel_service.commands.target import Target as Server
from superpixel_service.datasets import sources
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import MAX_UNIT_IMAGES, Found, Item, Place, estimated_pixels, units
from superpixel_service.datasets.local import run_units
from superpixel_service.datasets.record import PARAMETERS
from superpixel_service.datasets.selection import Selection
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.target import Tally, Target
from superpixel_service.datasets.worker import FileEngine, Outcome, Spec, Worker
from superpixel_service.resources import usable_cores

_Results = Iterator[tuple[Tally, list[str]]]


def run_data_set(
    source: str,
    out: str,
    parameters: Parameters,
    server: Server | None,
    jobs: int,
    retry_for: float,
    report: str | None,
    options: DataSetOptions,
) -> int:
    """Segment the images of SOURCE that the manifest of OUT does not name yet."""
    try:
        return _Run(source, out, parameters, server, jobs, retry_for, options).run(report)
    except DataSetFailed as error:
        raise CommandFailed(str(error), status=EXIT_USAGE if error.usage else EXIT_FAILED) from None


class _Run:
    def __init__(
        self,
        source: str,
        out: str,
        parameters: Parameters,
        server: Server | None,
        jobs: int,
        retry_for: float,
        options: DataSetOptions,
    ) -> None:
        self._source = source
        self._options = options
        self._jobs = jobs or usable_cores()
        self._storage = Storage(retry_for)
        self._spec = _spec(parameters)
        self._engine_of: Callable[[], FileEngine] | None = None
        versions: tuple[int, int | None] = kernels.ALGORITHM_VERSION, kernels.GUIDANCE_VERSION
        if server is not None:
            # Imported on demand: it loads gRPC.
            from superpixel_service.commands.remote import IN_FLIGHT
            from superpixel_service.commands.remote_files import server_engine

            self._jobs = jobs or IN_FLIGHT
            with_guidance = bool(options.maps or options.map_columns)
            engine, versions = server_engine(server, self._spec, retry_for, with_guidance=with_guidance)
            self._engine_of = lambda: engine
        record = record_of(parameters, *versions)
        self._record = record
        self._target = Target(out, self._storage, shards=options.shards, record=record)
        self._begin = time.monotonic()

    def run(self, report: str | None) -> int:
        options, target = self._options, self._target
        places = {
            name: sources.map_place(name, address, self._storage) for name, address in options.maps.items()
        }
        selection = Selection(options.column, options.map_columns, places, options.shard)
        found = sources.find(self._source, selection, self._storage, _find_local)
        if options.engine == "ray":
            # Imported on demand: it needs the extra `ray`. Before anything is written.
            from superpixel_service.ray import start

            start(options.ray_address, self._jobs)
        with target.lock(options.shard):
            target.check()
            target.begin(options.shard)
            done = target.read_manifest()
            orphans = target.orphans(done)
            todo, already, gone, stale = done.split(found.items)
            target.drop(stale)
            tally = Tally()
            stop = StopSignals()
            try:
                self._segment(todo, tally, stop)
            finally:
                left = len(todo) - tally.made - tally.failures
                _say_result(tally, found, already, left)
                if report is not None:
                    self._report(report, tally, found, already, left)
            if options.shard is None and not left:
                # With shards, a file may belong to another run that has not written its rows yet.
                target.delete_orphans(orphans)
        if gone and options.shard is None:
            say(f"the manifest has {gone:,} images that are not in {self._source}")
        return stop.exit_status(left=left, failed=bool(tally.failures or found.problems))

    def _segment(self, todo: list[Item], tally: Tally, stop: StopSignals) -> None:
        options = self._options
        most = options.images_per_shard or MAX_UNIT_IMAGES
        with Progress(len(todo)) as progress:
            shown = Tally()

            def seen(outcome: Outcome) -> None:
                shown.made += not outcome.error
                shown.failures += bool(outcome.error)
                progress.show(shown.made, shown.failures)

            if options.engine == "ray":
                from superpixel_service.ray import cluster_cpus, segment_units

                planned = units(todo, workers=max(1, cluster_cpus() // options.actor_cpus), max_images=most)
                results: _Results = segment_units(
                    planned,
                    self._target,
                    self._spec,
                    self._storage,
                    actor_cpus=options.actor_cpus,
                    actor_gpus=options.actor_gpus,
                )
                context: Any = nullcontext()
            else:
                worker = Worker(
                    self._spec,
                    self._storage,
                    self._jobs,
                    threads=_threads(self._jobs),
                    engine_of=self._engine_of,
                )
                # Threads of one process go from unit to unit without a pause, so units need not be small.
                planned = units(todo, workers=1, max_images=most)
                results = run_units(
                    planned, worker, self._target, stopped=lambda: bool(stop.number), seen=seen
                )
                context = closing(worker)
            with context:
                for unit_tally, written in results:
                    tally.merge(unit_tally)
                    if options.engine == "ray":
                        progress.show(tally.made, tally.failures)
                    progress.write(*written)
                    if stop.number and options.engine == "ray":
                        return

    def _report(self, address: str, tally: Tally, found: Found, already: int, left: int) -> None:
        seconds = time.monotonic() - self._begin
        facts = {
            "images": len(found.items),
            "made": tally.made,
            "already_there": already,
            "failed": tally.failures,
            "left": left,
            "seconds": round(seconds, 3),
            "engine_seconds": round(tally.seconds, 3),
            "pixels": tally.pixels,
            "bytes_read": tally.bytes_read,
            "bytes_written": tally.bytes_written,
            "failures": tally.failed,
            "problems": found.problems,
            "left_out": found.left_out,
            "engine": self._options.engine,
            "shard": self._options.shard,
            "parameters": self._record,
            "superpixel_service": __version__,
        }
        self._storage.write(address, json.dumps(facts, indent=2).encode() + b"\n")


def _threads(jobs: int) -> int:
    return max(1, usable_cores() // jobs)


def _find_local(folder: Path) -> Found:
    """The images of a folder of this machine, by the rules of a plain folder."""
    images = find_images(folder, ignore=(PARAMETERS,))
    items = []
    prefix = len(str(folder).rstrip("/")) + 1
    for image in images.images:
        path = str(image)
        try:
            status = image.stat()
        except OSError:
            items.append(Item(path[prefix:], path, Place(path)))  # reading it will report the error
            continue
        version = f"{status.st_size} {status.st_mtime_ns}"
        pixels = estimated_pixels(path, status.st_size)
        items.append(Item(path[prefix:], path, Place(path), version, pixels))
    return Found(items, images.left_out, images.problems)


def _spec(parameters: Parameters) -> Spec:
    wanted = parameters.wanted()
    wanted.pop("guidance", None)
    guidance = {} if parameters.guidance is None else parameters.guidance.options()
    return Spec(wanted, parameters.clamp, guidance)


def _say_result(tally: Tally, found: Found, already: int, left: int) -> None:
    say(*(f"left out: {line}" for line in found.left_out))
    say(*found.problems, *tally.failed)
    if tally.failures > len(tally.failed):
        say(f"... and {tally.failures - len(tally.failed):,} more; the manifest has them all")
    say_result(tally.made, already, tally.failures, left)
