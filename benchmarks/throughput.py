"""Images per second through a busy server.

Our server with one worker is compared with a plain gRPC server with one worker that calls scikit-image's
SLIC. Our server with all workers is compared with the same work by threads of this process. All take turns.
Images are 1080p mosaics of the data set's photographs, each shifted differently; there is no cache.
"""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from os import sched_getaffinity
from pathlib import Path

import grpc
import numpy as np
from examples.demo import running_server
from PIL import Image

from benchmarks import plain_server
from benchmarks.data import Pixels, add_data_arguments, as_jpeg, mosaic, photographs
from benchmarks.metrics import Labels, boundary_recall, compact, count_labels
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json
from benchmarks.service import OPTIONS, work
from superpixel_kernels import Workspace, codec
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

WIDTH, HEIGHT = 1920, 1080
COUNT = 1000
LEAST_RATIO = 12.0
LEAST_SHARE_OF_ENGINE = 0.85

Send = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over rounds of images per second and of ratios within a round; boundary recall of a mosaic."""

    ours_one_worker: float
    ours_one_thread: float
    plain: float
    ratio: float
    ratio_one_thread: float
    ours_all_workers: float
    in_process: float
    share: float
    recall_ours: float
    recall_plain: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("throughput", __doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds over all servers (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per turn (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures = measure(options.data, options.rounds, options.seconds)
    cores = len(sched_getaffinity(0))
    say_table(
        f"Images per second, {WIDTH}x{HEIGHT}, {COUNT} superpixels, medians of {options.rounds} rounds",
        ("server", "images/s", "x plain", "boundary recall"),
        [
            ("plain gRPC and scikit-image, one worker", figures.plain, 1.0, figures.recall_plain),
            ("ours, one worker", figures.ours_one_worker, figures.ratio, figures.recall_ours),
            ("ours, one worker of one thread", figures.ours_one_thread, figures.ratio_one_thread, ""),
            ("ours, all workers", figures.ours_all_workers, "", ""),
            (f"the same work by {cores} threads in process", figures.in_process, "", ""),
        ],
    )
    goals = [
        Goal.at_least("throughput over a plain server's, one worker each", figures.ratio, LEAST_RATIO),
        Goal.at_least(
            "boundary recall minus the plain server's", figures.recall_ours - figures.recall_plain, 0.0
        ),
        Goal.at_least(
            "throughput of all workers over the engine's in process", figures.share, LEAST_SHARE_OF_ENGINE
        ),
    ]
    say_goals(goals)
    write_json(options.json, {"throughput": asdict(figures)}, goals)


def measure(folder: Path, rounds: int, seconds: float) -> Figures:
    """Measure all servers in turn."""
    cores = len(sched_getaffinity(0))
    images = Images(mosaic(folder, WIDTH, HEIGHT))
    flags = ("--cache-bytes=0",)
    with (
        ours(*flags, "--workers=1") as one,
        ours(*flags, "--workers=1", "--threads-per-image=1") as thin,
        ours(*flags) as full,
        plain() as peer,
    ):
        contenders: dict[str, tuple[Callable[[], Send], int]] = {
            "one": (lambda: one, 2),  # two callers: one image is in transit while the other is processed
            "thin": (lambda: thin, 2),
            "plain": (lambda: peer, 2),
            "full": (lambda: full, 2 * cores),
            "in_process": (in_process, cores),
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (make, callers) in contenders.items():
                rates[name].append(images_per_second(make, callers, images, seconds))
        recall_ours, recall_plain = recalls(folder, one, peer)

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(rates[above], rates[below], strict=True))

    medians = {name: statistics.median(each) for name, each in rates.items()}
    return Figures(
        ours_one_worker=medians["one"],
        ours_one_thread=medians["thin"],
        plain=medians["plain"],
        ratio=ratio("one", "plain"),
        ratio_one_thread=ratio("thin", "plain"),
        ours_all_workers=medians["full"],
        in_process=medians["in_process"],
        share=ratio("full", "in_process"),
        recall_ours=recall_ours,
        recall_plain=recall_plain,
    )


class Images:
    """JPEG files, no two alike, for any number of threads; encoded before a turn starts."""

    AHEAD = 60

    def __init__(self, image: Pixels) -> None:
        self._image = image
        self._number = 0
        self._lock = threading.Lock()
        self._ready: list[bytes] = []

    def prepare(self) -> None:
        """Encode as many files as a turn may need."""
        while len(self._ready) < self.AHEAD:
            self._number += 1
            shift = (7 * self._number, 11 * self._number)
            self._ready.append(as_jpeg(np.roll(self._image, shift, axis=(0, 1))))

    def next(self) -> bytes | None:
        """Return an unused file; None if none are left in this turn."""
        with self._lock:
            return self._ready.pop() if self._ready else None


def images_per_second(make: Callable[[], Send], callers: int, images: Images, seconds: float) -> float:
    """Measure the images per second of `callers` threads, including the images in flight at the end."""
    images.prepare()
    start = time.perf_counter()

    def call(_: int) -> int:
        send, done = make(), 0
        while time.perf_counter() - start < seconds and (image := images.next()) is not None:
            send(image)
            done += 1
        return done

    with ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(call, range(callers)))
    return done / (time.perf_counter() - start)


def in_process() -> Send:
    """Return a function that does the server's work on one thread of this process."""
    workspace = Workspace(threads=1)
    return lambda image: work(image, workspace)


@contextmanager
def ours(*flags: str) -> Iterator[Callable[..., bytes]]:
    """Start our server; yield a function from an image file to a label map in SPXL."""
    with running_server(*flags) as address, grpc.insecure_channel(address, OPTIONS) as channel:
        stub = pb_grpc.SuperpixelServiceStub(channel)

        def send(image: bytes, count: int = COUNT) -> bytes:
            request = pb.SegmentRequest(encoded_image=image, target_counts=[count], include_hierarchy=True)
            return stub.Segment(request, timeout=60).label_map.data

        yield send


@contextmanager
def plain() -> Iterator[Callable[..., bytes]]:
    """Start the plain server; yield a function from an image file to a PNG of labels."""
    command = [sys.executable, "-m", plain_server.__name__]
    with subprocess.Popen(  # noqa: S603 (our own program)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("stdin and stdout must be pipes")
        address = process.stdout.readline().strip()
        with grpc.insecure_channel(address, OPTIONS) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(plain_server.METHOD)
            yield lambda image, count=COUNT: call(plain_server.COUNT.pack(count) + image, timeout=60)
        process.stdin.close()


def recalls(folder: Path, ours: Callable[..., bytes], peer: Callable[..., bytes]) -> tuple[float, float]:
    """Return the boundary recall of our server and of the peer's, both at the peer's real count."""
    image, truth = mosaic(folder, WIDTH, HEIGHT), mosaic_truth(folder, WIDTH, HEIGHT)
    file = as_jpeg(image)
    with Image.open(BytesIO(peer(file))) as picture:
        theirs = compact(np.asarray(picture).astype(np.int32))
    mine = codec.decode(ours(file, count_labels(theirs))).labels
    return boundary_recall(mine, truth), boundary_recall(theirs, truth)


def mosaic_truth(folder: Path, width: int, height: int) -> Labels:
    """Return one person's segmentation of each photograph of `mosaic`, in its place."""
    out = np.zeros((height, width), np.int64)
    photos = iter(photographs(folder))
    tall, wide = 321, 481
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            truth = next(photos).truths[0]
            lying = truth if truth.shape[1] >= truth.shape[0] else truth.T
            place = out[top : top + tall, left : left + wide]
            place[:] = lying[: place.shape[0], : place.shape[1]] + out.max() + 1
    return compact(out)


if __name__ == "__main__":
    main()
