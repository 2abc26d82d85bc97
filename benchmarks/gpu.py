"""The CUDA engine on this machine's GPU: whole calls, stages, several threads, and beside the C++ engine.

The sample photograph is scaled to the usual sizes. What a stage moves is counted from its kernels' arguments
(each array once a pass), and compared with what a copy within the device's memory reaches in this run.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import Goal, make_parser, say, say_goals, say_table, write_json
from superpixel_kernels import Workspace, segment
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.cuda.device import Device
from superpixel_kernels.cuda.pipeline import Pipeline, Settings

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "astronaut.jpg"
SMALL, HD, UHD = (481, 321), (1920, 1080), (3840, 2160)
STAGES = ("color", "smooth", "update", "assign", "components", "graph", "merge")
SETTINGS = Settings(compactness=10.0)
WARM_UP = 3

LIMITS_MS = {HD: (1.5, 2.5), UHD: (4.0, 7.0)}
"""Milliseconds to reach on an H100: image and results on the device, and with both transfers."""

TIMES_ONE_CORE = 60.0
SMALL_A_SECOND = 2000.0

PIXEL_BYTES = {"color": 7, "smooth": 8, "update": 0, "assign": 20, "components": 40, "graph": 16, "merge": 0}
"""Bytes a pixel that a stage reads and writes at least, all its kernels together."""

EDGE_BYTES = {"graph": 120, "merge": 4 * 400}
"""Bytes for each edge of the first round. All rounds of the merge have about four times as many as the first;
each is read or written in five phases, with its regions and its slots of the table."""

EDGES_PER_REGION = 2.4


@dataclass(frozen=True, slots=True)
class Whole:
    """Seconds of whole calls on one size of image, and of the stages in them."""

    size: tuple[int, int]
    regions: int
    on_device: float
    with_transfers: float
    stages: dict[str, float]


def main(arguments: Sequence[str] | None = None, open_device: Callable[[int], Device] = CupyDevice) -> None:
    """Measure, print, and write what was asked for."""
    parser = make_parser("gpu", __doc__)
    parser.add_argument("--device", type=int, default=0, help="index of the GPU (default: 0)")
    parser.add_argument("--rounds", type=int, default=30, help="calls of each kind (default: 30)")
    parser.add_argument("--threads", type=int, default=8, help="threads on small images (default: 8)")
    parser.add_argument("--small", type=_size, default=SMALL, metavar="WxH", help="theirs (default: 481x321)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long they run (default: 5)")
    parser.add_argument(
        "--copy", type=int, default=1 << 26, metavar="N", help="integers copied to find the memory's rate"
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        default=[HD, UHD],
        metavar="WxH",
        help="images of the whole calls (default: 1920x1080 3840x2160)",
    )
    options = parser.parse_args(arguments)
    device = open_device(options.device)
    say(f"device: {device.name}")
    wholes = [measure(device, size, options.rounds) for size in options.sizes]
    bandwidth = copy_bandwidth(device, options.rounds, options.copy)
    say_table(
        "Whole calls, medians, milliseconds",
        ["image", "regions", "on the device", "with transfers"],
        [
            [_named(each.size), each.regions, 1e3 * each.on_device, 1e3 * each.with_transfers]
            for each in wholes
        ],
    )
    for each in wholes:
        say_table(
            f"{_named(each.size)}; a copy within the device's memory moves {bandwidth / 1e9:.0f} GB/s",
            ["stage", "milliseconds", "MB moved", "share of the copy's rate"],
            stage_rows(each, bandwidth),
        )
    rate = small_images_a_second(open_device, options.device, options.small, options.threads, options.seconds)
    say(f"\n{options.threads} threads, {_named(options.small)}: {rate:.0f} images a second")
    last = wholes[-1]
    core = one_core_seconds(last.size)
    say(f"{_named(last.size)}, one core of the C++ engine: {1e3 * core:.0f} ms")
    times = core / last.on_device
    goals = [
        Goal.at_least(f"{_named(last.size)}, times one core of the C++ engine", times, TIMES_ONE_CORE),
        Goal.at_least(
            f"{options.threads} threads, {_named(options.small)}, images a second", rate, SMALL_A_SECOND
        ),
    ]
    for each in wholes:
        on_device, with_transfers = LIMITS_MS.get(each.size, (float("inf"), float("inf")))
        name = _named(each.size)
        goals.append(Goal.at_most(f"{name}, on the device", 1e3 * each.on_device, on_device, " ms"))
        goals.append(
            Goal.at_most(f"{name}, with transfers", 1e3 * each.with_transfers, with_transfers, " ms")
        )
    say_goals(goals)
    figures = {
        "device": device.name,
        "copy_bytes_a_second": bandwidth,
        "whole": [asdict(each) for each in wholes],
        "small_images_a_second": rate,
        "one_core_seconds": core,
    }
    write_json(options.json, figures, goals)


def photograph(size: tuple[int, int]) -> NDArray[np.uint8]:
    """The sample photograph at (width, height)."""
    with Image.open(PHOTO) as photo:
        return np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def measure(device: Device, size: tuple[int, int], rounds: int) -> Whole:
    """Whole calls on one size."""
    image, shape = photograph(size), (size[1], size[0])
    with device.active():
        pipeline = Pipeline(device)
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
    """Stage, milliseconds, megabytes moved, and the rate over that of a copy."""
    pixels, edges = whole.size[0] * whole.size[1], EDGES_PER_REGION * whole.regions
    rows: list[list[object]] = []
    for stage, seconds in whole.stages.items():
        moved = PIXEL_BYTES[stage] * pixels + EDGE_BYTES.get(stage, 0) * edges
        rows.append(
            [stage, 1e3 * seconds, moved / 1e6, f"{moved / seconds / bandwidth:.0%}" if seconds else "-"]
        )
    return rows


def copy_bandwidth(device: Device, rounds: int, count: int) -> float:
    """Bytes read and written in a second by a kernel that copies labels: what this memory can do."""
    with device.active():
        labels, parent, number = (device.empty(count, np.int32) for _ in range(3))
        zeros = np.zeros(count, np.int32)
        device.upload(zeros, parent)
        device.upload(zeros, number)
        seconds = []
        for _ in range(WARM_UP + rounds):
            start = device.mark()
            # number[parent[i]] with all parents 0: one array is read, one written.
            device.launch(
                "components_label", -(-count // 256), 256, [np.int32(count), parent, number, labels]
            )
            end = device.mark()
            device.download(labels[:1], np.empty(1, np.int32))
            seconds.append(device.seconds_between(start, end))
    return 2 * 4 * count / median(seconds[WARM_UP:])


def small_images_a_second(
    open_device: Callable[[int], Device], index: int, size: tuple[int, int], threads: int, seconds: float
) -> float:
    """Images in and results out, each thread with a stream and memory of its own."""
    image, shape = photograph(size), (size[1], size[0])
    ready, counts = threading.Barrier(threads + 1), [0] * threads
    stop = threading.Event()

    def work(rank: int) -> None:
        device = open_device(index)
        with device.active():
            pipeline = Pipeline(device)
            pixels = device.host_array(image.shape, np.uint8)
            pixels[:] = image
            pipeline.segment(pixels, shape, SETTINGS)
            ready.wait()
            while not stop.is_set():
                pipeline.segment(pixels, shape, SETTINGS)
                counts[rank] += 1

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.perf_counter()
    time.sleep(seconds)
    done, took = sum(counts), time.perf_counter() - start
    stop.set()
    for worker in workers:
        worker.join()
    return done / took


def one_core_seconds(size: tuple[int, int], rounds: int = 3) -> float:
    """The C++ engine on one thread of this machine."""
    image, workspace = photograph(size), Workspace(threads=1, kept_bytes=1 << 34)
    segment(image, workspace=workspace)
    return median(sum(segment(image, workspace=workspace).timings.values()) for _ in range(rounds))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _named(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


if __name__ == "__main__":
    main()
