"""Large images by tiles: what they cost, compared with an image in memory; equality; kill and resume.

`python -m benchmarks.tiled [--megapixels N] [--parts cost equality resume] [--data FOLDER] [--json FILE]`.
The image is a mosaic of photographs at their own resolution, made window by window. Each run is a process of
its own, whose processor time counts (user and system, all threads): other work on the machine changes it
little.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import add_data_arguments, mosaic
from benchmarks.peak_memory import peak_bytes, restart_peak
from superpixel_kernels import segment
from superpixel_kernels.tiled import TiledHierarchy, TiledProgress, Window, segment_tiled

PARTS = ("cost", "equality", "resume")
# Sides of the pattern that repeats. They are no multiples of the grid step, so copies differ.
_PATTERN = (3847, 5771)
_IN_MEMORY = (4320, 7680)
_MOST_BYTES_PER_PIXEL = 8.0
_MOST_TIMES = 1.3


class MosaicSource:
    """A mosaic of any size, as a source."""

    dtype = np.dtype(np.uint8)
    thread_safe = True

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.shape = (height, width, 3)
        self.fingerprint = f"mosaic {folder.name} {height} {width}"
        self.reads = 0
        self._pattern = mosaic(folder, _PATTERN[1], _PATTERN[0])

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See `PixelSource`."""
        self.reads += 1
        y0, y1, x0, x1 = window
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        height, width = _PATTERN
        for top in range(y0 // height * height, y1, height):
            for left in range(x0 // width * width, x1, width):
                a, b = max(y0, top), min(y1, top + height)
                c, d = max(x0, left), min(x1, left + width)
                out[a - y0 : b - y0, c - x0 : d - x0] = self._pattern[a - top : b - top, c - left : d - left]
        return out


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--megapixels", type=int, default=100, help="of the large image (default: %(default)s)"
    )
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--scratch", type=Path, help="folder for the stores: 6 bytes per pixel (default: temporary)"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=["memory", "tiled", "equality"], help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(_child(given)))  # noqa: T201
        return
    figures: dict[str, Any] = {"megapixels": given.megapixels, "tile": given.tile, "threads": given.threads}
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        if "cost" in given.parts:
            figures |= _cost(given, Path(folder))
        if "equality" in given.parts:
            figures["equality"] = _run(given, "equality", Path(folder) / "equality")
        if "resume" in given.parts:
            figures["resume"] = _resume(given, Path(folder))
    print(json.dumps(figures, indent=1))  # noqa: T201
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1))


def _cost(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    memory = _run(given, "memory", None)
    tiled = _run(given, "tiled", folder / "cost")
    times = tiled["cpu_ms_per_megapixel"] / memory["cpu_ms_per_megapixel"]
    return {
        "memory": memory,
        "tiled": tiled,
        "times": times,
        "times_reached": times <= _MOST_TIMES,
        "bytes_reached": tiled["peak_bytes_per_pixel"] <= _MOST_BYTES_PER_PIXEL,
    }


def _resume(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill a run after a third and after two thirds of its tiles, finish it, and compare it with one go."""
    whole = _run(given, "tiled", folder / "whole")
    kills = []
    for share in (1 / 3, 2 / 3):
        child = subprocess.Popen(_command(given, "tiled", folder / "killed"), stdout=subprocess.DEVNULL)  # noqa: S603
        graphs = folder / "killed" / "graph"
        while child.poll() is None and (done := len(list(graphs.glob("0*.npy")))) < share * whole["tiles"]:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills.append(done)
    resumed = _run(given, "tiled", folder / "killed")
    return {
        "killed_at_tiles": kills,
        "tiles": whole["tiles"],
        "computed_after_resume": resumed["computed"],
        "same_bits": resumed["digest"] == whole["digest"],
    }


def _command(given: argparse.Namespace, child: str, store: Path | None) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.tiled", "--child", child, "--data", str(given.data)]
    command += ["--megapixels", str(given.megapixels), "--tile", str(given.tile)]
    command += ["--threads", str(given.threads)]
    return command if store is None else [*command, "--store", str(store)]


def _run(given: argparse.Namespace, child: str, store: Path | None) -> dict[str, Any]:
    done = subprocess.run(_command(given, child, store), stdout=subprocess.PIPE, check=True)  # noqa: S603
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _child(given: argparse.Namespace) -> dict[str, Any]:
    if given.child == "memory":
        image = mosaic(given.data, _IN_MEMORY[1], _IN_MEMORY[0])
        meter = _Meter(image.shape[0] * image.shape[1])
        segment(image, threads=given.threads)
        return meter.figures("all")
    height = round((given.megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height) + 3
    source = MosaicSource(given.data, height, width)
    meter = _Meter(height * width)

    def note(progress: TiledProgress) -> None:
        if progress.stage in ("graph", "merge"):
            meter.end_stage({"graph": "tiles", "merge": "graph"}[progress.stage])

    result = segment_tiled(source, tile=given.tile, store=given.store, threads=given.threads, progress=note)
    figures = meter.figures("merge") | {"tiles": len(result.plan), "regions": result.base_count}
    figures["computed"] = source.reads  # a tile that is in the store is not read
    if given.child == "equality":
        return figures | _equality(source, result, given.threads)
    return figures | {"digest": _digest(result)}


class _Meter:
    """Processor time, and the peak of memory beyond what the process has at the start, stage by stage."""

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._peaks: dict[str, float] = {}
        self._wall = time.perf_counter()
        self._cpu: dict[str, float] = {}
        self._cpu_before = time.process_time()
        self._resident = restart_peak()

    def end_stage(self, stage: str) -> None:
        """Note the figures since the last stage."""
        now = time.process_time()
        self._cpu[stage] = (now - self._cpu_before) * 1e9 / self._pixels
        self._cpu_before = now
        self._peaks[stage] = (peak_bytes() - self._resident) / self._pixels
        restart_peak()

    def figures(self, last_stage: str) -> dict[str, Any]:
        """End the last stage, and return all figures."""
        self.end_stage(last_stage)
        return {
            "pixels": self._pixels,
            "cpu_ms_per_megapixel": sum(self._cpu.values()),
            "wall_seconds": time.perf_counter() - self._wall,
            "peak_bytes_per_pixel": max(self._peaks.values()),
            "cpu_of_stages": self._cpu,
            "peak_of_stages": self._peaks,
        }


def _equality(source: MosaicSource, result: TiledHierarchy, threads: int) -> dict[str, Any]:
    height, width = result.shape
    whole = segment(source.read((0, height, 0, width)), threads=threads)
    counts = (1000, result.base_count // 3)
    return {
        "base": bool(np.array_equal(whole.base_labels, result.base_labels)),
        "merges": bool(np.array_equal(whole.merges, result.merges)),
        "cuts": all(bool(np.array_equal(whole.cut(count), result.cut(count))) for count in counts),
    }


def _digest(result: TiledHierarchy) -> str:
    digest = hashlib.sha256(result.merges.data)
    for _, labels in result.cut(result.base_count // 3).tiles():
        digest.update(labels.data)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
