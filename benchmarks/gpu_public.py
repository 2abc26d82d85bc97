"""Calls of `superpixel_kernels.segment` on the GPU, and of the C++ engine, in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.gpu_devices import Size, device_image, named, open_workspace, photograph
from benchmarks.report import say_table
from superpixel_kernels import Hierarchy, Workspace, segment

COUNT = 1000
CPU_ROUNDS = 5
"""The C++ engine takes much longer, so it gets at most this many of the rounds."""


@dataclass(frozen=True, slots=True)
class Public:
    """Calls on one size of image (width, height).

    Attributes:
        seconds: medians, by the name of the call.
        workspace_bytes: device memory that the workspace holds after them.
        device_bytes: device memory allocated meanwhile by all processes, including the memory in CuPy's pool.
    """

    size: Size
    seconds: dict[str, float]
    workspace_bytes: int
    device_bytes: int


def measure(size: Size, rounds: int, index: int, *, simulate: bool) -> Public:
    """Time the calls, in turn. The public interface cannot leave results on the device yet."""
    gpu = open_workspace(index, simulate=simulate)
    graphs = open_workspace(index, simulate=simulate, graphs=True)
    before = gpu.device_used_bytes
    one_thread, all_threads = Workspace(threads=1, kept_bytes=1 << 34), Workspace(kept_bytes=1 << 34)
    image = photograph(size)
    on_device = device_image(image, simulate=simulate)

    def call(workspace: object, use: Callable[[Hierarchy], object], given: object = image) -> None:
        use(segment(given, workspace=workspace))  # type: ignore[arg-type]

    calls: dict[str, Callable[[], None]] = {
        "cuda, image on the host": lambda: call(gpu, _nothing),
        "cuda, image on the device": lambda: call(gpu, _nothing, on_device),
        "cuda, image on the host, CUDA graph": lambda: call(graphs, _nothing),
        "cuda, image on the device, CUDA graph": lambda: call(graphs, _nothing, on_device),
        f"cuda, host, cut {COUNT}": lambda: call(gpu, _cut),
        f"cuda, host, label map {COUNT}": lambda: call(gpu, _encode),
        "cpu, one thread": lambda: call(one_thread, _nothing),
        "cpu, all threads": lambda: call(all_threads, _nothing),
        f"cpu, all threads, label map {COUNT}": lambda: call(all_threads, _encode),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(2):  # the second call records a graph
        for make in calls.values():
            make()
    for round_ in range(rounds):
        for name, make in calls.items():
            if name.startswith("cpu") and round_ >= CPU_ROUNDS:
                continue
            start = time.perf_counter()
            make()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(each) for name, each in seconds.items()}
    return Public(size, medians, gpu.bytes, gpu.device_used_bytes - before)


def say_public(sizes: Sequence[Public]) -> None:
    """Print a table with a column per size."""
    say_table(
        "segment(), medians, milliseconds",
        ["call", *(named(each.size) for each in sizes)],
        [
            *([name, *(1e3 * each.seconds[name] for each in sizes)] for name in sizes[0].seconds),
            ["MB of device memory in the workspace", *(each.workspace_bytes / 1e6 for each in sizes)],
            ["MB of device memory taken", *(each.device_bytes / 1e6 for each in sizes)],
        ],
    )


def _nothing(hierarchy: Hierarchy) -> None:
    del hierarchy


def _cut(hierarchy: Hierarchy) -> None:
    hierarchy.cut(min(COUNT, hierarchy.base_count))


def _encode(hierarchy: Hierarchy) -> None:
    hierarchy.encode(min(COUNT, hierarchy.base_count), include_hierarchy=True)
