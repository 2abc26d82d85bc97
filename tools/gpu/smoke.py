"""Segment images of a few sizes on the device, again and again; every result must equal the C++ engine's."""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
from benchmarks.gpu_devices import (
    Size,
    device_image,
    marked_output,
    named,
    open_workspace,
    photograph,
    size_argument,
)

from superpixel_kernels import CudaWorkspace, Hierarchy, Workspace, segment

SIZES: list[Size] = [(60, 40), (481, 321), (1920, 1080), (3840, 2160)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.smoke", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="use the simulated device")
    parser.add_argument("--sizes", nargs="+", type=size_argument, default=SIZES, metavar="WxH")
    parser.add_argument("--runs", type=int, default=10, help="images of each size (default: 10)")
    parser.add_argument("--once", action="store_true", help="only one call per size, for a profiler")
    options = parser.parse_args(arguments)
    with marked_output(simulate=options.simulate):
        workspace = open_workspace(simulate=options.simulate)
        print(f"device: {workspace.device_name}", flush=True)
        if options.once:
            for size in options.sizes:
                segment(photograph(size), workspace=workspace)
            return 0
        differences = sum(
            check(size, options.runs, workspace, simulate=options.simulate) for size in options.sizes
        )
        print("all equal" if differences == 0 else f"{differences} results DIFFER from the C++ engine's")
    return 1 if differences else 0


def check(size: Size, runs: int, workspace: CudaWorkspace, *, simulate: bool) -> int:
    """Compare `runs` shifted photographs, each from host and from device memory; return how many differ."""
    cpu, differing, seconds = Workspace(), 0, []
    regions = 0
    for run in range(runs):
        image = np.roll(photograph(size), (7 * run, 11 * run), axis=(0, 1))
        expected = segment(image, workspace=cpu)
        start = time.perf_counter()
        from_host = segment(image, workspace=workspace)
        seconds.append(time.perf_counter() - start)
        from_device = segment(device_image(image, simulate=simulate), workspace=workspace)
        for place, actual in (("host", from_host), ("device", from_device)):
            if what := difference(actual, expected):
                differing += 1
                print(f"{named(size)}, run {run}, image in {place} memory: {what}", flush=True)
        regions = expected.base_count
    print(
        f"{named(size)}: {runs} images, {regions} regions in the last, {differing} results differ; "
        f"first call {1e3 * seconds[0]:.1f} ms, median {1e3 * statistics.median(seconds):.1f} ms",
        flush=True,
    )
    return differing


def difference(actual: Hierarchy, expected: Hierarchy) -> str:
    """Return where two results differ first; "" if they are equal."""
    pairs = {
        "base label": (actual.base_labels, expected.base_labels),
        "merge": (actual.merges, expected.merges),
    }
    for name, (got, wanted) in pairs.items():
        if got.shape != wanted.shape:
            return f"{name}s have the shape {got.shape}, not {wanted.shape}"
        places = np.argwhere(got != wanted)
        if len(places):
            place = tuple(places[0].tolist())
            return f"{len(places)} {name}s differ; the first, {place}, is {got[place]}, not {wanted[place]}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
