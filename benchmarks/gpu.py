"""Speed of the CUDA engine on this machine's GPU: whole calls, stages, threads, public interface, server.

The C++ engine is measured in the same run. The sample photograph is scaled to the usual sizes. The bytes that
a stage moves are counted from its kernels' arguments (each array once per pass). Their rate is compared with
that of a copy within the device's memory. `benchmarks.gpu_sweep` tries other block sizes.
"""

import contextlib
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks import gpu_public, gpu_service
from benchmarks.gpu_devices import (
    HD,
    SMALL,
    UHD,
    OpenDevice,
    marked_output,
    named,
    opener,
    photograph,
    size_argument,
)
from benchmarks.report import Goal, make_parser, say, say_goals, say_table, write_json
from superpixel_kernels import Workspace, segment
from superpixel_kernels.cuda import Tuning
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.device import Device
from superpixel_kernels.cuda.pipeline import Pipeline
from superpixel_kernels.cuda.stages import Settings

STAGES = ("color", "smooth", "update", "assign", "components", "graph", "merge")
SETTINGS = Settings(compactness=10.0)
WARM_UP = 3

LIMITS_MS = {HD: (1.5, 2.5), UHD: (4.0, 7.0)}
"""Goals in milliseconds on an H100: with image and results on the device, and with both transfers."""

TIMES_ONE_CORE = 60.0
SMALL_A_SECOND = 2000.0

PIXEL_BYTES = {"color": 7, "smooth": 8, "update": 0, "assign": 20, "components": 40, "graph": 16, "merge": 0}
"""Least bytes per pixel that all kernels of a stage together read and write."""

EDGE_BYTES = {"graph": 120, "merge": 4 * 400}
"""Bytes per edge of the first round. All rounds of the merge together have about four times as many edges.
Each is read or written in five phases, with its regions and its slots of the table."""

EDGES_PER_REGION = 2.4


@dataclass(frozen=True, slots=True)
class Whole:
    """Median seconds of whole calls and of their stages, on one image size (width, height)."""

    size: tuple[int, int]
    regions: int
    on_device: float
    with_transfers: float
    stages: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested file."""
    parser = make_parser("gpu", __doc__)
    parser.add_argument("--device", type=int, default=0, help="index of the GPU (default: 0)")
    parser.add_argument(
        "--simulate", action="store_true", help="rehearse on the simulated device; the figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, default=30, help="calls of each kind (default: 30)")
    parser.add_argument("--threads", type=int, default=8, help="threads for small images (default: 8)")
    parser.add_argument(
        "--small",
        type=size_argument,
        default=SMALL,
        metavar="WxH",
        help="size of small images (default: 481x321)",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="run time of the threads (default: 5)")
    parser.add_argument(
        "--copy",
        type=int,
        default=1 << 26,
        metavar="N",
        help="integers to copy for the memory's rate (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=size_argument,
        default=[HD, UHD],
        metavar="WxH",
        help="image sizes for whole calls; the server gets the first (default: 1920x1080 3840x2160)",
    )
    parser.add_argument(
        "--service-workers",
        nargs="*",
        type=int,
        default=[4, 8, 16],
        metavar="N",
        help="servers to measure, by their workers on the GPU; none: no servers (default: 4 8 16)",
    )
    parser.add_argument(
        "--service-seconds", type=float, default=3.0, help="run time of each server (default: 3)"
    )
    parser.add_argument("--service-callers", type=int, default=32, help="simultaneous callers (default: 32)")
    options = parser.parse_args(arguments)
    with marked_output(simulate=options.simulate):
        run(options)


def run(options: Namespace) -> None:
    """Measure everything; see `main`."""
    open_device = opener(simulate=options.simulate)
    device = open_device(options.device)
    say(f"device: {device.name}")
    wholes = [measure(device, size, options.rounds) for size in options.sizes]
    bandwidth = copy_bandwidth(device, options.rounds, options.copy)
    say_wholes(wholes, bandwidth)
    public = [
        gpu_public.measure(size, options.rounds, options.device, simulate=options.simulate)
        for size in options.sizes
    ]
    gpu_public.say_public(public)
    rate, without_graphs = (
        small_images_per_second(
            open_device, options.device, options.small, options.threads, options.seconds, graphs=graphs
        )
        for graphs in (True, False)
    )
    say(f"\n{options.threads} threads, {named(options.small)}: {rate:.0f} images per second")
    say(f"the same without CUDA graphs: {without_graphs:.0f}")
    last = wholes[-1]
    core = one_core_seconds(last.size)
    say(f"{named(last.size)}, one core of the C++ engine: {1e3 * core:.0f} ms")
    goals = judged(wholes, rate, core, options)
    figures: dict[str, Any] = {
        "device": device.name,
        "simulated": options.simulate,
        "copy_bytes_a_second": bandwidth,
        "whole": [asdict(each) for each in wholes],
        "public": [asdict(each) for each in public],
        "small_images_a_second": rate,
        "small_images_a_second_without_graphs": without_graphs,
        "one_core_seconds": core,
    }
    write_json(options.json, figures, goals)  # now, because a server may hang
    servers, missing = gpu_service.measure(
        options.sizes[0],
        options.service_workers,
        options.service_callers,
        options.service_seconds,
        options.device,
        simulate=options.simulate,
    )
    gpu_service.say_servers(servers, missing, options.sizes[0], options.service_callers)
    say_goals(goals)
    figures |= {"servers": [asdict(each) for each in servers], "servers_not_measured": missing}
    write_json(options.json, figures, goals)


def say_wholes(wholes: Sequence[Whole], bandwidth: float) -> None:
    """Print whole calls and their stages."""
    say_table(
        "Whole calls, medians, milliseconds",
        ["image", "regions", "on the device", "with transfers"],
        [
            [named(each.size), each.regions, 1e3 * each.on_device, 1e3 * each.with_transfers]
            for each in wholes
        ],
    )
    for each in wholes:
        say_table(
            f"{named(each.size)}; a copy within the device's memory moves {bandwidth / 1e9:.0f} GB/s",
            ["stage", "milliseconds", "MB moved", "share of the copy's rate"],
            stage_rows(each, bandwidth),
        )


def judged(wholes: Sequence[Whole], rate: float, core: float, options: Namespace) -> list[Goal]:
    """Return the goals; the simulated device can neither reach nor miss them."""
    last = wholes[-1]
    goals = [
        Goal.at_least(
            f"{named(last.size)}, times one core of the C++ engine", core / last.on_device, TIMES_ONE_CORE
        ),
        Goal.at_least(
            f"{options.threads} threads, {named(options.small)}, images per second", rate, SMALL_A_SECOND
        ),
    ]
    for each in wholes:
        on_device, with_transfers = LIMITS_MS.get(each.size, (float("inf"), float("inf")))
        name = named(each.size)
        goals.append(Goal.at_most(f"{name}, on the device", 1e3 * each.on_device, on_device, " ms"))
        goals.append(
            Goal.at_most(f"{name}, with transfers", 1e3 * each.with_transfers, with_transfers, " ms")
        )
    if options.simulate:
        return [Goal(goal.name, "simulated, not judged", None) for goal in goals]
    return goals


def measure(device: Device, size: tuple[int, int], rounds: int, tuning: Tuning | None = None) -> Whole:
    """Time whole calls on one image size."""
    image, shape = photograph(size), (size[1], size[0])
    with device.active():
        pipeline = Pipeline(device, tuning=tuning)
        pixels = device.host_array(image.shape, np.uint8)
        pixels[:] = image
        data = device.empty(image.size, np.uint8)
        device.upload(pixels.reshape(-1), data)
        on_device = DeviceImage(data, (3 * size[0], 3, 1), 3)
        for _ in range(WARM_UP):
            made = pipeline.segment(pixels, shape, SETTINGS)
            pipeline.run(on_device, shape, SETTINGS)
        alone, with_transfers, stages = [], [], []
        for _ in range(rounds):
            start = time.perf_counter()
            stages.append(pipeline.run(on_device, shape, SETTINGS).seconds)
            middle = time.perf_counter()
            pipeline.segment(pixels, shape, SETTINGS)
            alone.append(middle - start)
            with_transfers.append(time.perf_counter() - middle)
    return Whole(
        size,
        len(made.records) + 1,
        median(alone),
        median(with_transfers),
        {stage: median(seconds[stage] for seconds in stages) for stage in STAGES},
    )


def stage_rows(whole: Whole, bandwidth: float) -> list[list[object]]:
    """Return stage, milliseconds, megabytes moved, and the rate as a share of a copy's rate."""
    pixels, edges = whole.size[0] * whole.size[1], EDGES_PER_REGION * whole.regions
    rows: list[list[object]] = []
    for stage, seconds in whole.stages.items():
        moved = PIXEL_BYTES[stage] * pixels + EDGE_BYTES.get(stage, 0) * edges
        rows.append(
            [stage, 1e3 * seconds, moved / 1e6, f"{moved / seconds / bandwidth:.0%}" if seconds else "-"]
        )
    return rows


def copy_bandwidth(device: Device, rounds: int, count: int) -> float:
    """Return the bytes per second that a kernel that copies labels reads and writes: the memory's rate."""
    with device.active():
        labels, parent, number = (device.empty(count, np.int32) for _ in range(3))
        zeros = np.zeros(count, np.int32)
        device.upload(zeros, parent)
        device.upload(zeros, number)
        seconds = []
        for _ in range(WARM_UP + rounds):
            start = device.mark()
            # number[parent[i]] with all parents 0 reads one array and writes one.
            device.launch(
                "components_label", -(-count // 256), 256, [np.int32(count), parent, number, labels]
            )
            end = device.mark()
            device.download((labels[:1], np.empty(1, np.int32)))
            seconds.append(device.seconds_between(start, end))
    return 2 * 4 * count / median(seconds[WARM_UP:])


def small_images_per_second(
    open_device: OpenDevice,
    index: int,
    size: tuple[int, int],
    threads: int,
    seconds: float,
    *,
    graphs: bool = True,
) -> float:
    """Return the images per second, transfers included; each thread has its own stream and memory."""
    image, shape = photograph(size), (size[1], size[0])
    ready, counts = threading.Barrier(threads + 1), [0] * threads
    stop = threading.Event()
    failures: list[Exception] = []

    def work(rank: int) -> None:
        try:
            device = open_device(index)
            with device.active():
                pipeline = Pipeline(device, graphs=graphs)
                pixels = device.host_array(image.shape, np.uint8)
                pixels[:] = image
                pipeline.segment(pixels, shape, SETTINGS)
                ready.wait()
                while not stop.is_set():
                    pipeline.segment(pixels, shape, SETTINGS)
                    counts[rank] += 1
        except Exception as error:  # noqa: BLE001 (raised below)
            failures.append(error)
            ready.abort()

    workers = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(threads)]
    for worker in workers:
        worker.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        ready.wait()
    start = time.perf_counter()
    time.sleep(seconds if not failures else 0)
    while not any(counts) and any(worker.is_alive() for worker in workers) and not failures:
        time.sleep(0.01)  # a slow device needs longer for its first image
    done, took = sum(counts), time.perf_counter() - start
    stop.set()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return done / took


def one_core_seconds(size: tuple[int, int], rounds: int = 3) -> float:
    """Return the median seconds of the C++ engine on one thread of this machine."""
    image, workspace = photograph(size), Workspace(threads=1, kept_bytes=1 << 34)
    segment(image, workspace=workspace)
    return median(sum(segment(image, workspace=workspace).timings.values()) for _ in range(rounds))


if __name__ == "__main__":
    main()
