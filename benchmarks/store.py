"""The whole run of `superpixel large` on a mosaic: time, memory, disk; kill and resume; windows.

`python -m benchmarks.store [--megapixels N] [--parts cost resume] [--scratch FOLDER] [--json FILE]`. The
source is a virtual raster (VRT) that repeats one mosaic of photographs, so it needs little disk. Runs are
processes of their own. The kernel reports their processor time (user and system, all threads) and their
largest resident memory.
"""

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.data import add_data_arguments, mosaic
from superpixel_service.large.run import WORK
from superpixel_service.large.store import Store

PARTS = ("cost", "resume")
# Sides of the mosaic that is repeated. They are no multiples of the grid step, so copies differ.
_PATTERN = (3847, 5771)
_COUNTS = ("100000", "1000")
_MOST_BYTES_PER_PIXEL = 8.0
_WINDOW = (1920, 1080)
_WINDOWS = 20


_PROGRAM = [sys.executable, "-m", "superpixel_service"]

# Writes its peak memory, in bytes, into the file descriptor that is its first argument.
_MEASURED = """
import os, sys
from benchmarks.peak_memory import peak_bytes
from superpixel_service.cli import main
writer = int(sys.argv.pop(1))
try:
    sys.exit(main())
finally:
    os.write(writer, str(peak_bytes()).encode())
"""


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--megapixels", type=float, default=100, help="of the image (default: %(default)s)")
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="resume includes cost (default: both)"
    )
    parser.add_argument(
        "--scratch", type=Path, help="folder for the stores: 10 bytes per pixel and part (default: temporary)"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    height = round((given.megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height) + 3
    figures: dict[str, Any] = {"width": width, "height": height, "tile": given.tile, "threads": given.threads}
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        folder = Path(scratch)
        source = write_source(folder, given.data, width, height)
        command = ["large", str(source)]
        command += ["--tile", str(given.tile), "--threads", str(given.threads), "--counts", *_COUNTS]
        figures |= _cost(
            [*command, "--out", str(folder / "whole.zarr")], folder / "whole.zarr", width * height
        )
        if "resume" in given.parts:
            store = folder / "killed.zarr"
            figures["resume"] = _resume([*command, "--out", str(store)], store)
            figures["resume"]["same_bytes"] = _digest(store) == _digest(folder / "whole.zarr")
    text = json.dumps(figures, indent=1)
    print(text)  # noqa: T201
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text + "\n")


def write_source(folder: Path, data: Path, width: int, height: int) -> Path:
    """Write a mosaic as a TIFF file, and a virtual raster that repeats it."""
    rows, columns = _PATTERN
    north_up = rasterio.Affine(0.5, 0, 0, 0, -0.5, 0)
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": 3,
        "dtype": "uint8",
        "transform": north_up,
    }
    with rasterio.open(folder / "mosaic.tif", "w", tiled=True, photometric="RGB", **profile) as file:
        file.write(mosaic(data, columns, rows).transpose(2, 0, 1))
    bands = []
    for band, color in enumerate(("Red", "Green", "Blue"), 1):
        parts = [
            f'<SimpleSource><SourceFilename relativeToVRT="1">mosaic.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{min(columns, width - x)}" ySize="{min(rows, height - y)}"/>'
            f'<DstRect xOff="{x}" yOff="{y}" xSize="{min(columns, width - x)}" '
            f'ySize="{min(rows, height - y)}"/></SimpleSource>'
            for y in range(0, height, rows)
            for x in range(0, width, columns)
        ]
        interpretation = f"<ColorInterp>{color}</ColorInterp>"
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}">{interpretation}{"".join(parts)}</VRTRasterBand>'
        )
    path = folder / "scene.vrt"
    path.write_text(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{"".join(bands)}</VRTDataset>')
    return path


def _cost(command: list[str], store: Path, pixels: int) -> dict[str, Any]:
    start = _run(["large", "--help"])  # what every run takes
    run = _run(command)
    peak = (run["peak_bytes"] - start["peak_bytes"]) / pixels
    opened = Store(str(store))
    return {
        "regions": opened.info.base_count,
        "cpu_ms_per_megapixel": (run["cpu_seconds"] - start["cpu_seconds"]) * 1e9 / pixels,
        "wall_seconds": run["wall_seconds"],
        "peak_bytes_per_pixel": peak,
        "peak_reached": peak <= _MOST_BYTES_PER_PIXEL,
        "disk_bytes_per_pixel": sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        / pixels,
        "window_ms": _window_ms(opened),
    }


def _run(command: list[str]) -> dict[str, float]:
    begin = time.perf_counter()
    reader, writer = os.pipe()
    program = [sys.executable, "-c", _MEASURED, str(writer), *command]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, pass_fds=[writer])  # noqa: S603
    os.close(writer)
    with os.fdopen(reader) as peak:
        peak_bytes = int(peak.read() or 0)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": peak_bytes,
        "wall_seconds": time.perf_counter() - begin,
    }


def _window_ms(store: Store) -> float | None:
    """Median time of a window of a screen at full resolution, in milliseconds."""
    width, height = _WINDOW
    if store.info.width < width or store.info.height < height:
        return None
    places = np.random.default_rng(1)
    store.window(0, 0, 8, 8)  # loads the tree
    times = []
    for _ in range(_WINDOWS):
        x, y = places.integers(store.info.width - width + 1), places.integers(store.info.height - height + 1)
        begin = time.perf_counter()
        store.window(int(x), int(y), width, height)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def _resume(command: list[str], store: Path) -> dict[str, Any]:
    """Kill a run while it writes pixels, computes tiles, and writes regions; then finish it."""
    work = store / WORK
    reached: dict[str, Callable[[], bool]] = {
        "pixels": lambda: (work / "pixels-done").exists(),
        "tiles": lambda: len(list((work / "engine" / "graph").glob("0*.npy"))) > 1,
        "regions": lambda: (store / "base" / "0" / "c").exists(),
    }
    killed = []
    for step, is_reached in reached.items():
        process = subprocess.Popen([*_PROGRAM, *command], stdout=subprocess.DEVNULL)  # noqa: S603
        while process.poll() is None and not is_reached():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            killed.append(step)
    return {"killed_in": killed, "cpu_seconds_after": _run(command)["cpu_seconds"]}


def _digest(store: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(store.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(store)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
