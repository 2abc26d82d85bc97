"""Other block sizes for the CUDA engine, and 1 to 16 threads; each result is compared with the C++ engine's.

Prints the medians, so that `Tuning` and the tiles can be chosen for a GPU. `python -m benchmarks.gpu_sweep`.
"""

import functools
import importlib
import re
import shutil
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu import SETTINGS, measure, small_images_per_second
from benchmarks.gpu_devices import (
    HD,
    SMALL,
    UHD,
    OpenDevice,
    Size,
    marked_output,
    named,
    opener,
    photograph,
    size_argument,
)
from benchmarks.report import make_parser, say, say_table, write_json
from superpixel_kernels import Hierarchy, Workspace, segment
from superpixel_kernels.cuda import Tuning, cupy_device
from superpixel_kernels.cuda.device import Device
from superpixel_kernels.cuda.pipeline import Pipeline

TILED = {"smooth": "smooth", "components": "components"}
"""Files with a tile height of their own, and the stage that shows it."""

_TILE_HEIGHT = re.compile(r"(constexpr i32 kTileHeight = )\d+;")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the requested file; return the exit status: 1 if a variant failed."""
    parser = make_parser("gpu_sweep", __doc__)
    parser.add_argument("--device", type=int, default=0, help="index of the GPU (default: 0)")
    parser.add_argument(
        "--simulate", action="store_true", help="rehearse on the simulated device; the figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, default=10, help="calls of each kind (default: 10)")
    parser.add_argument("--sizes", nargs="+", type=size_argument, default=[SMALL, HD, UHD], metavar="WxH")
    parser.add_argument("--tail-edges", nargs="+", type=int, default=[32, 64, 128, 256, 448], metavar="N")
    parser.add_argument("--merge-threads", nargs="+", type=int, default=[128, 256, 512], metavar="N")
    parser.add_argument("--merge-blocks", nargs="+", type=int, default=[8, 16, 32], metavar="N")
    parser.add_argument("--few-edges", nargs="+", type=int, default=[4096, 16384, 65536], metavar="N")
    parser.add_argument("--pixel-threads", nargs="+", type=int, default=[128, 256, 512], metavar="N")
    parser.add_argument("--tiles", nargs="*", type=int, default=[4, 8, 16, 32], metavar="HEIGHT")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 4, 8, 16], metavar="N")
    parser.add_argument(
        "--small", type=size_argument, default=SMALL, metavar="WxH", help="image of the threads"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="run time of the threads (default: 1.5)")
    options = parser.parse_args(arguments)
    with marked_output(simulate=options.simulate):
        return run(options)


def run(options: Namespace) -> int:
    """Measure everything; return the exit status."""
    open_device = opener(simulate=options.simulate)
    device = open_device(options.device)
    say(f"device: {device.name}")
    tails = [
        variant(device, options, {"tail_edges": tail, "merge_threads": threads})
        for threads in options.merge_threads
        for tail in options.tail_edges
    ]
    say_variants("Stage merge / whole call on the device, milliseconds", tails, options.sizes, "merge")
    few = [
        variant(device, options, {"merge_blocks": blocks, "few_edges": edges})
        for blocks in options.merge_blocks
        for edges in options.few_edges
    ]
    say_variants("The same with few blocks from some edges on", few, options.sizes, "merge")
    blocks = [variant(device, options, {"threads": threads}) for threads in options.pixel_threads]
    say_variants("Stage components / whole call, milliseconds", blocks, options.sizes, "components")
    tiles = []
    for height in options.tiles:
        with tile_height(height, simulate=options.simulate) as open_tiled:
            tiles.append(variant(open_tiled(options.device), options, {}, tile_height=height))
    largest = named(options.sizes[-1])
    say_table(
        f"Tiles 32 pixels wide, {largest}: stage / whole call, milliseconds",
        ["height", *TILED.values()],
        [
            [each["tile_height"], *(_cell(each["sizes"].get(largest), stage) for stage in TILED.values())]
            for each in tiles
        ],
    )
    rates = [
        {
            "threads": threads,
            "cuda": small_images_per_second(
                open_device, options.device, options.small, threads, options.seconds
            ),
            "cpu": cpu_images_per_second(options.small, threads, options.seconds),
        }
        for threads in options.threads
    ]
    say_table(
        f"Images per second by threads, {named(options.small)}",
        ["threads", "cuda", "cpu, one thread per image"],
        [[each["threads"], each["cuda"], each["cpu"]] for each in rates],
    )
    figures = {
        "device": device.name,
        "simulated": options.simulate,
        "merge": tails,
        "few_blocks": few,
        "blocks": blocks,
        "tiles": tiles,
        "threads": rates,
    }
    write_json(options.json, figures, [])
    failed = [each for each in (*tails, *few, *blocks, *tiles) if each["failed"]]
    for each in failed:
        say(f"FAILED: { ({name: value for name, value in each.items() if name != 'sizes'}) }")
    return 1 if failed else 0


def variant(
    device: Device, options: Namespace, changed: dict[str, int], *, tile_height: int | None = None
) -> dict[str, Any]:
    """Measure all sizes with a changed tuning; sizes that fail are in "failed" instead of "sizes"."""
    tuning = replace(Tuning(), **changed)
    result: dict[str, Any] = {**changed, "tile_height": tile_height, "sizes": {}, "failed": {}}
    for size in options.sizes:
        try:
            if equals_cpu(device, size, tuning):
                whole = measure(device, size, options.rounds, tuning)
                result["sizes"][named(size)] = {"on_device": whole.on_device, "stages": whole.stages}
            else:
                result["failed"][named(size)] = "not the C++ engine's result"
        except Exception as error:  # noqa: BLE001 (a GPU may refuse a block size; the others count)
            result["failed"][named(size)] = f"{type(error).__name__}: {error}"
    return result


def equals_cpu(device: Device, size: Size, tuning: Tuning) -> bool:
    """Return whether the device's result equals the C++ engine's."""
    image, expected = _expected(size)
    with device.active():
        actual = Pipeline(device, tuning=tuning).segment(image, (size[1], size[0]), SETTINGS)
    records = expected.merges.view(np.int32).reshape(-1, 4)
    return np.array_equal(actual.labels, expected.base_labels) and np.array_equal(actual.records, records)


@functools.cache
def _expected(size: Size) -> tuple[NDArray[np.uint8], Hierarchy]:
    image = photograph(size)
    return image, segment(image, workspace=Workspace())


def say_variants(title: str, variants: Sequence[dict[str, Any]], sizes: Sequence[Size], stage: str) -> None:
    """Print a row per variant and a column per size."""
    names = [name for name in variants[0] if name not in ("tile_height", "sizes", "failed")]
    say_table(
        title,
        [" ".join(names), *map(named, sizes)],
        [
            [
                " ".join(str(each[name]) for name in names),
                *(_cell(each["sizes"].get(named(size)), stage) for size in sizes),
            ]
            for each in variants
        ],
    )


def _cell(measured: dict[str, Any] | None, stage: str) -> str:
    if measured is None:
        return "FAILED"
    return f"{1e3 * measured['stages'][stage]:.3f} / {1e3 * measured['on_device']:.3f}"


@contextmanager
def tile_height(height: int, *, simulate: bool) -> Iterator[OpenDevice]:
    """Context that yields a function; all tiles of the devices that it opens have this height."""
    modules: list[Any] = [importlib.import_module(f"superpixel_kernels.cuda.{name}") for name in TILED]
    before = [module.TILE_HEIGHT for module in modules]
    try:
        for module in modules:
            module.TILE_HEIGHT = height
        with _simulated(height) if simulate else _compiled_anew(height) as open_device:
            yield open_device
    finally:
        for module, old in zip(modules, before, strict=True):
            module.TILE_HEIGHT = old


@contextmanager
def _compiled_anew(height: int) -> Iterator[OpenDevice]:
    kept = cupy_device._compiled  # noqa: SLF001 (holds the modules of a process)
    usual = cupy_device.__dict__["source"]
    cupy_device.__dict__["source"] = lambda file: with_tile_height(usual(file), height)
    kept.cache_clear()
    try:
        yield opener(simulate=False)
    finally:
        cupy_device.__dict__["source"] = usual
        kept.cache_clear()


@contextmanager
def _simulated(height: int) -> Iterator[OpenDevice]:
    build: Any = importlib.import_module("tests.kernels.cuda_sim.build")
    simulated = importlib.import_module("tests.kernels.cuda_sim").SimDevice
    usual = build.CACHE
    folder = usual.with_name("cuda_sim_tiles") / str(height)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*build.KERNELS.glob("*.cu"), *build.KERNELS.glob("*.cuh"), *usual.glob("worker-*.so")):
        shutil.copy(file, folder)
    for name in TILED:
        path = folder / f"{name}.cu"
        path.write_text(with_tile_height(path.read_text(), height))
    build.CACHE = folder  # the usual one keeps one version of each file
    try:
        yield lambda _: simulated(folder=folder)
    finally:
        build.CACHE = usual


def with_tile_height(text: str, height: int) -> str:
    """Return a kernel file's text with another tile height."""
    return _TILE_HEIGHT.sub(rf"\g<1>{height};", text)


def cpu_images_per_second(size: Size, threads: int, seconds: float) -> float:
    """Return the images per second of the C++ engine, one image on each thread."""
    image, counts = photograph(size), [0] * threads
    start = time.perf_counter()

    def work(rank: int) -> None:
        workspace = Workspace(threads=1)
        while counts[rank] == 0 or time.perf_counter() - start < seconds:
            segment(image, workspace=workspace)
            counts[rank] += 1

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
