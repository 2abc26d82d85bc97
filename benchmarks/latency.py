"""How long a person waits for one photograph while bulk work keeps the server busy.

One caller sends the data set's photographs, with short pauses between calls: in turn to an idle server and to
one that a stream of 1080p images saturates, then once while a single bulk image of 100 megapixels runs. The
longest stage of a 1080p image is measured too, since an interactive call may have to wait for it. All images
differ, and there is no cache.
"""

import itertools
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import grpc
import numpy as np
from examples.demo import running_server

from benchmarks.data import add_data_arguments, as_jpeg, mosaic
from benchmarks.report import Goal, make_parser, say, say_goals, say_table, write_json
from benchmarks.service import COUNT, OPTIONS, large_files, read, small_files, timed
from superpixel_kernels import Workspace, segment
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

PAUSE_SECONDS = (0.02, 0.08)
"""Shortest and longest pause between two calls; bulk work continues meanwhile."""

MOST_TIMES_UNLOADED = 1.5
BULK_IMAGES = 24
HUGE_SIDE = 10_000
HUGE_FLAGS = (
    f"--max-image-pixels={HUGE_SIDE**2}",
    f"--max-inflight-pixels={HUGE_SIDE**2 + 10_000_000}",
    "--max-image-bytes=200000000",
    "--max-inflight-bytes=300000000",
)


@dataclass(frozen=True, slots=True)
class Waits:
    """Times of calls in milliseconds."""

    calls: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Summarize the times of calls."""
        p50, p99 = np.percentile(seconds, [50, 99])
        return cls(len(seconds), 1e3 * float(p50), 1e3 * float(p99), 1e3 * max(seconds))


@dataclass(frozen=True, slots=True)
class Figures:
    """The results.

    Attributes:
        unloaded: calls to an idle server.
        loaded: calls during a stream of 1080p images.
        huge: calls during the image of 100 megapixels.
        stage: name of the longest stage of a 1080p image on one thread (bulk images run side by side).
        stage_ms: its milliseconds.
        bulk_images: number of 1080p images answered during the calls.
        huge_seconds: time of the image of 100 megapixels, waiting included.
    """

    unloaded: Waits
    loaded: Waits
    huge: Waits
    stage: str
    stage_ms: float
    bulk_images: int
    huge_seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("latency", __doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--rounds", type=int, default=4, help="turns with and without load (default: %(default)s)"
    )
    parser.add_argument("--calls", type=int, default=100, help="calls per turn (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures = measure(options.data, options.rounds, options.calls)
    say_table(
        "A call for a photograph of 481x321, ms",
        ("meanwhile", "calls", "p50", "p99", "longest"),
        [
            ("nothing", *_cells(figures.unloaded)),
            (f"a stream of 1080p images ({figures.bulk_images} answered)", *_cells(figures.loaded)),
            (f"one of {HUGE_SIDE}x{HUGE_SIDE} ({figures.huge_seconds:.0f} s)", *_cells(figures.huge)),
        ],
    )
    say(f"  longest stage of a 1080p image, one thread: {figures.stage}, {figures.stage_ms:.1f} ms")
    goals = [
        Goal.at_most(
            "p99 beside a stream of 1080p images",
            figures.loaded.p99,
            round(MOST_TIMES_UNLOADED * figures.unloaded.p99 + figures.stage_ms, 1),
            " ms",
        ),
        Goal.at_least("calls answered while an image of 100 megapixels ran", figures.huge.calls, 1),
    ]
    say_goals(goals)
    write_json(options.json, {"latency": asdict(figures)}, goals)


def _cells(waits: Waits) -> tuple[object, ...]:
    return waits.calls, f"{waits.p50:.1f}", f"{waits.p99:.1f}", f"{waits.longest:.1f}"


def measure(folder: Path, rounds: int, calls: int) -> Figures:
    """Measure without and with load in turn, then during the huge image."""
    photographs = itertools.cycle(list(small_files(folder)))
    bulk = list(large_files(folder, BULK_IMAGES))
    stage, stage_ms = longest_stage(bulk[:5])
    unloaded: list[float] = []
    loaded: list[float] = []
    answered = 0
    with running_server("--cache-bytes=0") as address, calling(address) as stub:
        wait_times(stub, photographs, 20)  # warm-up
        for _ in range(rounds):
            unloaded += wait_times(stub, photographs, calls)
            with bulk_stream(address, bulk) as pipe:
                loaded += wait_times(stub, photographs, calls)
                pipe.send(None)
                answered += pipe.recv()
    huge, huge_seconds = beside_a_huge_image(folder, photographs)
    return Figures(
        Waits.of(unloaded), Waits.of(loaded), Waits.of(huge), stage, stage_ms, answered, huge_seconds
    )


@contextmanager
def calling(address: str) -> Iterator[pb_grpc.SuperpixelServiceStub]:
    """Yield a client on a new connection."""
    with grpc.insecure_channel(address, OPTIONS) as channel:
        yield pb_grpc.SuperpixelServiceStub(channel)


def wait_times(stub: pb_grpc.SuperpixelServiceStub, files: Iterator[bytes], calls: int) -> list[float]:
    """Return the seconds of each of `calls` consecutive calls, with pauses between them."""
    return [one_call(stub, next(files)) for _ in range(calls)]


def one_call(stub: pb_grpc.SuperpixelServiceStub, file: bytes) -> float:
    """Return the seconds of a call, made after a pause."""
    time.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311
    return timed(lambda: stub.Segment(request(file), timeout=60))[1]


def request(file: bytes) -> pb.SegmentRequest:
    """Return the request that the annotation page would send."""
    return pb.SegmentRequest(encoded_image=file, target_counts=[COUNT], include_hierarchy=True)


@contextmanager
def bulk_stream(address: str, files: Sequence[bytes]) -> Iterator[Connection]:
    """Run a process that keeps a stream full. On a message it stops, and sends the number of its answers."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=stream_bulk, args=(address, files, theirs), daemon=True)
    process.start()
    ours.recv()
    yield ours
    process.join()


def stream_bulk(address: str, files: Sequence[bytes], pipe: Connection) -> None:
    """Send the images again and again until a message comes through the pipe."""

    def messages() -> Iterator[pb.SegmentStreamRequest]:
        for file in itertools.cycle(files):
            if pipe.poll():
                return
            yield pb.SegmentStreamRequest(request=request(file))

    with calling(address) as stub:
        answers = stub.SegmentStream(messages())
        next(answers)
        pipe.send("busy")
        answered = 0
        for answer in answers:
            if answer.HasField("error"):
                raise SystemExit(f"a bulk image was refused: {answer.error.message}")
            answered += 1
    pipe.send(answered)


def beside_a_huge_image(folder: Path, files: Iterator[bytes]) -> tuple[list[float], float]:
    """Return the seconds of calls during an image of 100 megapixels, and the seconds of that image."""
    tile = mosaic(folder, 2000, 2000)
    huge = as_jpeg(np.tile(tile, (HUGE_SIDE // 2000, HUGE_SIDE // 2000, 1)))
    message = request(huge)
    message.priority = pb.PRIORITY_BULK
    seconds: list[float] = []
    with running_server("--cache-bytes=0", *HUGE_FLAGS) as address, calling(address) as stub:
        wait_times(stub, files, 20)
        start = time.perf_counter()
        running = stub.Segment.future(message, timeout=1200)
        time.sleep(1)
        while not running.done():
            seconds.append(one_call(stub, next(files)))
        if running.result().label_map.count != COUNT:
            raise SystemExit("the huge image has another count than requested")
        return seconds, time.perf_counter() - start


def longest_stage(files: Sequence[bytes]) -> tuple[str, float]:
    """Return name and milliseconds of the stage with the longest median over these images."""
    workspace = Workspace(threads=1)
    times: dict[str, list[float]] = {}
    for file in files:
        pixels, decode = timed(partial(read, file))
        hierarchy = segment(pixels, workspace=workspace)
        _, encode = timed(partial(hierarchy.encode, COUNT, include_hierarchy=True))
        for name, seconds in {**hierarchy.timings, "decode": decode, "encode": encode}.items():
            times.setdefault(name, []).append(seconds)
    medians = {name: float(np.median(each)) for name, each in times.items()}
    name = max(medians, key=lambda each: medians[each])
    return name, 1e3 * medians[name]


if __name__ == "__main__":
    main()
