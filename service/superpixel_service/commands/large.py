"""`superpixel large`: segment an image that may be larger than memory, into a store."""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import superpixel_kernels as kernels
from superpixel_kernels.tiled import TileWorkers
from superpixel_service.commands.large_failures import failures
from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, say, write_facts
from superpixel_service.commands.progress import duration
from superpixel_service.commands.stop_signals import StopSignals
from superpixel_service.large.engine import GuidanceFiles
from superpixel_service.large.estimate import estimate
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.opening import open_source
from superpixel_service.large.ranges import parse_rule, ranges_text
from superpixel_service.large.run import Plan, make_store
from superpixel_service.large.source import choose_bands
from superpixel_service.resources import usable_cores

_UPDATE_SECONDS = 0.2
_MEGA = 1_000_000
_MEBI = 1 << 20


def run(
    *,
    source: str,
    out: str,
    bands: Sequence[int],
    range: Sequence[str],  # noqa: A002 (the flag's name)
    nodata: float | None,
    mask: str,
    reader: str,
    level: int,
    frame: int,
    label_counts: Sequence[int],
    compactness: float,
    edges: str,
    edge_weight: int,
    prior: str,
    prior_mode: Literal["soft", "hard"],
    prior_weight: int,
    importance: str,
    tile: int,
    threads: int,
    work: Path | None,
    dry_run: bool,
    engine: Literal["local", "ray"],
    backend: kernels.Backend,
    device: int | None,
    ray_address: str | None,
    actor_cpus: int,
) -> int:
    """Make the store, or finish it; print what it is."""
    if engine != "ray" and (ray_address is not None or actor_cpus != 1):
        raise CommandFailed("--ray-address and --actor-cpus need --engine ray", status=EXIT_USAGE)
    if engine == "ray" and backend != "cpu":
        raise CommandFailed("--backend needs --engine local", status=EXIT_USAGE)
    if device is not None and backend == "cpu":
        raise CommandFailed("--device needs --backend cuda or auto", status=EXIT_USAGE)
    stop = StopSignals()
    with failures():
        opened = open_source(source, reader, level, frame)
        plan = Plan(
            source=opened,
            address=source,
            level=level,
            frame=frame,
            bands=bands,
            rules=[parse_rule(text) for text in range],
            nodata=nodata,
            mask=open_source(mask) if mask else None,
            mask_address=mask,
            compactness=compactness,
            counts=label_counts,
            tile=tile,
            threads=threads or usable_cores(),
            backend=kernels.choose_backend(backend, device or 0),
            device=device or 0,
            guidance=GuidanceFiles(edges, edge_weight, prior, prior_mode, prior_weight, importance),
        )
        if dry_run:
            _write_estimate(plan)
            return EXIT_OK
        progress = _Progress(opened.shape[1], opened.shape[0], tile)
        try:
            with _workers(engine, ray_address, actor_cpus, plan.threads, stop) as workers:
                info = make_store(
                    plan,
                    out,
                    work=work,
                    workers=workers,
                    progress=progress.show,
                    stopped=lambda: bool(stop.number),
                )
        except kernels.errors.Cancelled:
            progress.end()
            say("stopped; run the same command again to continue")
            return 128 + stop.number
        except kernels.errors.DeviceLost as error:
            progress.end()
            raise CommandFailed(f"{error}; the same command continues, also with --backend cpu") from None
        progress.end()
        _write_store(out, info)
    return EXIT_OK


def _workers(
    engine: str, ray_address: str | None, actor_cpus: int, cores: int, stop: StopSignals
) -> AbstractContextManager[TileWorkers | None]:
    """What computes the tiles; None: this process."""
    if engine != "ray":
        return nullcontext()
    # Imported on demand: it needs the extra `ray`.
    from superpixel_service.ray import TileActors, start

    start(ray_address, cores)
    stop.install()
    return TileActors(actor_cpus=actor_cpus, stopped=lambda: bool(stop.number))


def _write_store(out: str, info: StoreInfo) -> None:
    ranges = ranges_text(info.ranges)
    write_facts(
        {
            "store": out,
            "image": f"{info.width} x {info.height}",
            "bands": list(info.bands),
            "values from black to white": ranges,
            "base regions": info.base_count,
            "label images": ", ".join(map(str, info.counts)) or "none",
            "coordinates": "yes" if info.crs or info.transform else "none",
        }
    )


def _write_estimate(plan: Plan) -> None:
    found = estimate(plan)
    rows, columns, bands = plan.source.shape
    write_facts(
        {
            "image": f"{columns} x {rows}, {rows * columns / _MEGA:,.1f} megapixels",
            "reader": plan.source.facts.reader,
            "samples": f"{bands} bands of {plan.source.dtype}",
            "bands": [band + 1 for band in choose_bands(plan.source, plan.bands)],
            "coordinates": "yes" if plan.source.facts.crs or plan.source.facts.transform else "none",
            "tiles": found.tiles,
            "base regions, about": found.regions,
            "memory, about": f"{found.memory_bytes / _MEBI:,.0f} MiB",
            "disk during the run, about": f"{found.work_bytes / _MEBI:,.0f} MiB",
            "disk of the store, about": f"{found.store_bytes / _MEBI:,.0f} MiB",
            "time, about": duration(found.seconds),
        }
    )


class _Progress:
    """A line on standard error that redraws itself, if that is a terminal."""

    def __init__(self, width: int, height: int, tile: int) -> None:
        self._tiles = -(-width // tile) * -(-height // tile)
        self._pixels = width * height
        self._visible = sys.stderr.isatty()
        self._step = ""
        self._begun = self._due = 0.0
        self._first = 0

    def show(self, step: str, done: int, total: int) -> None:
        """Redraw the line, if it is due."""
        now = time.monotonic()
        if step != self._step:
            # Pixels of an earlier run were not made at this run's speed.
            self._step, self._begun, self._first, self._due = step, now, done, 0.0
        if not self._visible or (now < self._due and done < total):
            return
        self._due = now + _UPDATE_SECONDS
        self._write(self._line(done, total, now - self._begun)[: shutil.get_terminal_size().columns - 1])

    def end(self) -> None:
        """Erase the line."""
        if self._visible:
            self._write("")

    def _line(self, done: int, total: int, seconds: float) -> str:
        tiles = self._tiles * done // max(total, 1)
        parts = [f"{self._step}: tile {tiles:,} of {self._tiles:,}", f"{100 * done // max(total, 1)} %"]
        rate = (done - self._first) / max(seconds, 1e-6)
        if rate > 0:
            parts.append(f"{rate / _MEGA:.1f} megapixels/s")
            if done < total:
                parts.append(f"{duration((total - done) / rate)} left")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()
