"""Overhead of the service: a call, compared with the same work in this process.

For each photograph, in turn: a call to a real server; a bare gRPC echo to another process, with messages of
the same sizes; decode, segment and encode in this process. The overhead is the call's time minus the other
two. Each photograph is sent once, so no cache can help.

This process decodes with Pillow, as a Python program would. The server has a faster JPEG reader; a second
figure shows the overhead if this process used it too.
"""

import io
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import grpc
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from examples.demo import running_server
from PIL import Image

from benchmarks.data import Pixels, add_data_arguments, as_jpeg, mosaic, photographs
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json
from superpixel_kernels import Workspace, segment
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

Result = TypeVar("Result")

COUNT = 1000
OVERHEAD_LIMIT_MS = 1.0
ECHO = "/echo.Echo/Echo"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Row:
    """One size of photograph; times are medians over photographs, in milliseconds.

    Attributes:
        size: of the photographs.
        photographs: how many were measured.
        call: the call to the server.
        echo: the bare gRPC echo.
        in_process: decode, segment and encode in this process.
        overhead: per photograph, call minus echo minus in_process.
        overhead_same_reader: the overhead if this process had the server's JPEG reader.
        stages: the sum of the stages' times that the server reports.
    """

    size: str
    photographs: int
    call: float
    echo: float
    in_process: float
    overhead: float
    overhead_same_reader: float
    stages: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("service", __doc__)
    add_data_arguments(parser)
    parser.add_argument("--large", type=int, default=40, help="photographs at 1080p (default: %(default)s)")
    options = parser.parse_args(arguments)
    with running_server("--cache-bytes=0") as address, echo_server() as echo_address:
        rows = [
            measure("481x321", small_files(options.data), address, echo_address),
            measure("1920x1080", large_files(options.data, options.large), address, echo_address),
        ]
    goals = [
        Goal.at_most(
            f"overhead above echo and work in process, {row.size}", row.overhead, OVERHEAD_LIMIT_MS, " ms"
        )
        for row in rows
    ]
    say_table(
        f"A call with {COUNT} superpixels and their hierarchy; medians in ms",
        (
            "photographs",
            "number",
            "call",
            "echo",
            "in process",
            "overhead",
            "overhead, same reader",
            "stages in the server",
        ),
        [(row.size, row.photographs, *(f"{value:.2f}" for value in astuple(row)[2:])) for row in rows],
    )
    say_goals(goals)
    write_json(options.json, {"service": [asdict(row) for row in rows]}, goals)


def small_files(folder: Path) -> Iterator[bytes]:
    """Yield the files of the data set."""
    for photo in photographs(folder):
        yield (photo.folder / "images" / f"{photo.name}.jpg").read_bytes()


def large_files(folder: Path, number: int) -> Iterator[bytes]:
    """Yield JPEG files of a mosaic, each shifted further, so no two are alike."""
    image = mosaic(folder, 1920, 1080)
    for step in range(number):
        yield as_jpeg(np.roll(image, (7 * step, 11 * step), axis=(0, 1)))


def measure(size: str, files: Iterator[bytes], address: str, echo_address: str) -> Row:
    """Measure call, echo and work in process for photographs of one size."""
    workspace = Workspace()
    calls, echoes, parts, saved, stages = [], [], [], [], []
    with (
        grpc.insecure_channel(address, OPTIONS) as channel,
        grpc.insecure_channel(echo_address, OPTIONS) as plain,
    ):
        stub = pb_grpc.SuperpixelServiceStub(channel)
        echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = plain.unary_unary(ECHO)
        for index, data in enumerate(files):
            request = pb.SegmentRequest(encoded_image=data, target_counts=[COUNT], include_hierarchy=True)
            answer, call = timed(partial(stub.Segment, request, timeout=60))
            size_wanted = len(answer.SerializeToString()).to_bytes(4, "little")
            message = size_wanted + bytes(request.ByteSize() - 4)
            _, echoed = timed(partial(echo, message, timeout=60))
            encoded, in_process = timed(partial(work, data, workspace))
            if encoded != answer.label_map.data:
                raise SystemExit("the server's label map differs from the one made in process")
            pillow, quick = timed(partial(read, data))[1], timed(partial(simplejpeg.decode_jpeg, data))[1]
            if index < 3:
                continue  # warm-up
            calls.append(call)
            echoes.append(echoed)
            parts.append(in_process)
            saved.append(pillow - quick)
            timings = answer.timings
            stages.append(
                timings.queue_microseconds
                + timings.decode_microseconds
                + timings.segment_microseconds
                + timings.encode_microseconds
            )
    left = [call - echoed - part for call, echoed, part in zip(calls, echoes, parts, strict=True)]
    return Row(
        size,
        len(calls),
        call=1e3 * statistics.median(calls),
        echo=1e3 * statistics.median(echoes),
        in_process=1e3 * statistics.median(parts),
        overhead=1e3 * statistics.median(left),
        overhead_same_reader=1e3
        * statistics.median(rest + less for rest, less in zip(left, saved, strict=True)),
        stages=statistics.median(stages) / 1e3,
    )


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return the function's result, and the seconds it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def work(data: bytes, workspace: Workspace) -> bytes:
    """Do the server's work on an image file: decode, segment, encode."""
    return segment(read(data), workspace=workspace).encode(COUNT, include_hierarchy=True)


def read(data: bytes) -> Pixels:
    """Decode an image file with Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def echo_server() -> Iterator[str]:
    """Run an echo server in another process; yield its address."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_echo, args=(theirs,), daemon=True)
    process.start()
    yield ours.recv()
    ours.send(None)
    process.join()


def answer_echo(message: bytes, _: grpc.ServicerContext) -> bytes:
    """Return as many zeros as the first four bytes of the message say."""
    return bytes(int.from_bytes(message[:4], "little"))


def serve_echo(pipe: Connection) -> None:
    """Send the echo server's address through the pipe; serve until a message comes back."""
    server = grpc.server(ThreadPoolExecutor(4), options=OPTIONS)
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.unary_unary_rpc_method_handler(answer_echo, None, None)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pipe.send(f"127.0.0.1:{port}")
    pipe.recv()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
