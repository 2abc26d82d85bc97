"""Segment a mosaic of a photograph tile by tile, on the CPU and on the device; the results must be equal."""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from benchmarks.gpu_devices import Size, marked_output, named, open_workspace, photograph, size_argument
from numpy.typing import NDArray

from superpixel_kernels import CudaWorkspace, Workspace
from superpixel_kernels.tiled import CudaWorkers, TiledHierarchy, TiledProgress, segment_tiled

# No multiples of a grid cell's side, so copies of the photograph differ.
PHOTO: Size = (3847, 2161)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.tiled", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="use the simulated device")
    parser.add_argument("--size", type=size_argument, default=(8192, 8192), metavar="WxH")
    parser.add_argument("--tile", type=int, default=2048, help="side of a tile (default: %(default)s)")
    parser.add_argument(
        "--runs", type=int, default=2, help="on the device; the first one compiles (default: 2)"
    )
    options = parser.parse_args(arguments)
    with marked_output(simulate=options.simulate):
        image = mosaic(options.size)
        threads = Workspace().threads
        print(f"{named(options.size)}, tiles of {options.tile}, {threads} threads")
        expected = timed("CPU", image, options.tile, None)
        equal = True
        for run in range(options.runs):
            opened: list[CudaWorkspace] = []
            workers = CudaWorkers(
                threads, None, open_workspace=partial(_open, opened, simulate=options.simulate)
            )
            found = timed(f"device, run {run}", image, options.tile, workers)
            held = sum(workspace.held_bytes for workspace in opened)
            same = is_equal(found, expected)
            print(f"{len(opened)} workspaces hold {held / 1e6:.0f} MB; {'equal' if same else 'DIFFERENT'}")
            equal = equal and same
    return 0 if equal else 1


def mosaic(size: Size) -> NDArray[np.uint8]:
    """Return copies of the sample photograph side by side, cropped to (width, height)."""
    width, height = size
    copies = (-(-height // PHOTO[1]), -(-width // PHOTO[0]), 1)
    return np.tile(photograph(PHOTO), copies)[:height, :width]


def timed(name: str, image: NDArray[np.uint8], tile: int, workers: CudaWorkers | None) -> TiledHierarchy:
    """Segment the image and print how long its tiles took, and all that follows."""
    begun = {"tiles": time.perf_counter()}

    def note(progress: TiledProgress) -> None:
        begun.setdefault(progress.stage, time.perf_counter())

    cpu = time.process_time()
    found = segment_tiled(image, tile=tile, workers=workers, progress=note)
    cpu = time.process_time() - cpu
    tiles = begun["graph"] - begun["tiles"]
    rest = begun["done"] - begun["graph"]
    per_megapixel = 1e9 * cpu / image[..., 0].size
    print(
        f"{name}: tiles {tiles:.2f} s, graph and merge {rest:.2f} s; processor time {per_megapixel:.1f} ms "
        f"per megapixel; {found.base_count} base regions",
        flush=True,
    )
    return found


def is_equal(found: TiledHierarchy, expected: TiledHierarchy) -> bool:
    """Return whether two results have the same base regions and merges."""
    if found.base_count != expected.base_count or not np.array_equal(found.merges, expected.merges):
        return False
    pairs = zip(found.base_labels.tiles(), expected.base_labels.tiles(), strict=True)
    return all(np.array_equal(mine, other) for (_, mine), (_, other) in pairs)


def _open(opened: list[CudaWorkspace], device: int, *, kept_bytes: int, simulate: bool) -> CudaWorkspace:
    opened.append(open_workspace(device, kept_bytes=kept_bytes, simulate=simulate))
    return opened[-1]


if __name__ == "__main__":
    sys.exit(main())
