"""The cost of decoding in processes, compared with decoding in threads.

Both ways use the server's code for an image: decode, segment, encode, without gRPC. Each file is processed by
both in turn. For the latency one image is processed at a time, and the ways alternate per image; for the
throughput one per core. The processor time is that of this process and its decode processes; other programs
change it less than the other figures.
"""

import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.data import Pixels, add_data_arguments, mosaic
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json
from superpixel_kernels import Workspace
from superpixel_service.config import Settings
from superpixel_service.images.decode import open_image
from superpixel_service.model import EncodedImage, SegmentSpec, Task, accept
from superpixel_service.resources import usable_cores
from superpixel_service.work.decode_processes import ForkServer
from superpixel_service.work.decoders import Decoder
from superpixel_service.work.memory import keep_freed_memory
from superpixel_service.work.segmenter import Segmenter

SIZES = ((481, 321), (1920, 1080))
FORMATS = ("JPEG", "PNG", "WEBP")
COUNT = 1000
MOST_ADDED_MS = 1.0
LEAST_THROUGHPUT = 0.97

PAIRS = 7
"""Images per round and way whose time is measured."""

Process = Callable[[Task], object]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of file; medians.

    Attributes:
        file: format and size.
        threads_ms, processes_ms: from file to label map, one at a time.
        added_ms: per pair of turns, the second minus the first.
        threads_rate, processes_rate: images per second, one per core at a time.
        share: per pair of turns, the second over the first.
        threads_cpu_ms, processes_cpu_ms: processor time per image, one at a time.
        cpu_share: per pair of turns, the first over the second: the share of throughput by processor time.
    """

    file: str
    threads_ms: float
    processes_ms: float
    added_ms: float
    threads_rate: float
    processes_rate: float
    share: float
    threads_cpu_ms: float
    processes_cpu_ms: float
    cpu_share: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("decode", __doc__)
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=15, help="pairs of turns (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds per turn (default: %(default)s)")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    cores = usable_cores()
    with in_threads(cores) as threads, in_processes(cores) as processes:
        rows = [
            measure(name, mosaic(options.data, *size), threads, processes, options.rounds, options.seconds)
            for name in FORMATS
            for size in SIZES
        ]
    say_table(
        f"File to label map, decoded in threads and in processes, medians of {options.rounds} rounds",
        (
            "file",
            "threads ms",
            "processes ms",
            "added ms",
            "threads 1/s",
            "processes 1/s",
            "share",
            "threads CPU ms",
            "processes CPU ms",
            "CPU share",
        ),
        [tuple(asdict(row).values()) for row in rows],
    )
    goals = [
        goal
        for row in rows
        for goal in (
            Goal.at_most(f"time that processes add, {row.file}", row.added_ms, MOST_ADDED_MS, " ms"),
            Goal.at_least(f"throughput of processes over threads, {row.file}", row.share, LEAST_THROUGHPUT),
        )
    ]
    say_goals(goals)
    write_json(options.json, {"decode": [asdict(row) for row in rows]}, goals)


@contextmanager
def in_threads(cores: int) -> Iterator[list[Process]]:
    """Yield a function per core that processes a task and decodes it on its thread."""
    yield [Segmenter(Workspace(threads=1)).run for _ in range(cores)]


@contextmanager
def in_processes(cores: int) -> Iterator[list[Process]]:
    """Yield a function per core that processes a task and decodes it in a process."""
    with ExitStack() as stack:
        fork_server = ForkServer()
        stack.callback(fork_server.close)
        decoders = [Decoder(fork_server, step_limit_seconds=60.0) for _ in range(cores)]
        for decoder in decoders:
            stack.callback(decoder.close)
        yield [processing(decoder) for decoder in decoders]


def processing(decoder: Decoder) -> Process:
    """Return a function that processes a task with this decoder."""
    segmenter = Segmenter(Workspace(threads=1))

    def process(task: Task) -> object:
        with decoder.in_use():
            return segmenter.run(
                task, decode=lambda image, region: decoder.decode(image, region, lambda: None)
            )

    return process


def measure(
    name: str, pixels: Pixels, threads: list[Process], processes: list[Process], rounds: int, seconds: float
) -> Row:
    """Measure one kind of file."""
    settings = Settings()  # takes a millisecond, in which no other thread runs Python
    picture = Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, name)

    def task() -> Task:
        source = EncodedImage(file.getvalue())  # a decode frees the bytes
        spec = SegmentSpec(
            source,
            target_counts=(min(COUNT, pixels.shape[0] * pixels.shape[1] // 64),),
            include_hierarchy=True,
        )
        return accept(spec, open_image(spec, settings))

    times: dict[str, list[float]] = {"threads": [], "processes": []}
    rates: dict[str, list[float]] = {"threads": [], "processes": []}
    worked: dict[str, list[float]] = {"threads": [], "processes": []}
    ways = {"threads": threads, "processes": processes}
    for number in range(rounds + 1):
        turns = sorted(ways, reverse=number % 2 == 0)
        for way in PAIRS * turns:  # the machine's speed changes within seconds
            one = task()
            before = _cpu_seconds()
            taken = _seconds(ways[way][0], one)
            cpu = _cpu_seconds() - before
            if number > 0:  # the first round warms up
                times[way].append(1000 * taken)
                worked[way].append(1000 * cpu)
        for way in turns:
            rate = _rate(ways[way], task, seconds)
            if number > 0:
                rates[way].append(rate)
    pairs = list(zip(times["threads"], times["processes"], strict=True))
    return Row(
        f"{name} {picture.width}x{picture.height}",
        statistics.median(times["threads"]),
        statistics.median(times["processes"]),
        statistics.median(there - here for here, there in pairs),
        statistics.median(rates["threads"]),
        statistics.median(rates["processes"]),
        statistics.median(b / a for a, b in zip(rates["threads"], rates["processes"], strict=True)),
        statistics.median(worked["threads"]),
        statistics.median(worked["processes"]),
        statistics.median(a / b for a, b in zip(worked["threads"], worked["processes"], strict=True)),
    )


def _cpu_seconds() -> float:
    """Processor time of this process and its children so far. psutil's is in steps of 10 ms."""
    children = psutil.Process().children(recursive=True)
    files = [Path(f"/proc/{child.pid}/schedstat") for child in children]
    return time.process_time() + sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _seconds(process: Process, task: Task) -> float:
    started = time.perf_counter()
    process(task)
    return time.perf_counter() - started


def _rate(way: list[Process], task: Callable[[], Task], seconds: float) -> float:
    """Images per second, with the images in flight at the end; at least one image per core."""
    started = time.perf_counter()

    def work(process: Process) -> int:
        done = 0
        while not done or time.perf_counter() - started < seconds:
            process(task())
            done += 1
        return done

    with ThreadPoolExecutor(len(way)) as pool:
        done = sum(pool.map(work, way))
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
