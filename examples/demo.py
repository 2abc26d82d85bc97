"""Segment a photograph with a real server, from start to end.

Starts `superpixel serve`, sends a photograph over gRPC, prints a summary and the timings, draws three sizes
of superpixels, writes the label map, and stops the server. Exit status 0: all of it worked.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.images.overlay import draw
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

PHOTO = Path(__file__).parent / "photos" / "astronaut.jpg"
SIZES = (1600, 400, 100)


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Segment a photograph through a real server and draw the result."
    )
    parser.add_argument(
        "photo", nargs="?", type=Path, default=PHOTO, help="JPEG or PNG (default: the bundled one)"
    )
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for the pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    encoded = arguments.photo.read_bytes()
    photo = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))

    with running_server() as address:
        print(f"server: {address}")
        answer, seconds = segment(address, encoded)
    label_map = codec.decode(answer.label_map.data)
    print_table(photo, answer, label_map, seconds)

    name = arguments.photo.stem
    written = [arguments.out / f"{name}.spx"]
    written[0].write_bytes(answer.label_map.data)
    panels = []
    for size in reversed(SIZES):
        labels = label_map.labels_at(size)
        written.append(arguments.out / f"{name}-{size}.png")
        Image.fromarray(draw(photo, labels, scale=2)).save(written[-1])
        panels.append(np.pad(draw(photo, labels, scale=1), ((0, 0), (0, 8), (0, 0)), constant_values=255))
    written.append(arguments.out / f"{name}-overview.png")
    Image.fromarray(np.hstack(panels)[:, :-8]).save(written[-1])
    print("wrote:", *written, sep="\n  ")
    return 0


@contextlib.contextmanager
def running_server(*flags: str) -> Iterator[str]:
    """Start a server on free ports and yield its address; then stop it with SIGTERM, as Kubernetes does."""
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]
    command = [sys.executable, "-m", "superpixel_service", "serve", *ports, "--log-format=json", *flags]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        else:
            raise SystemExit(f"the server ended with status {server.wait()} before it was ready")
        # A full pipe would block the server, so a thread reads the rest of the log.
        log = threading.Thread(target=server.stderr.read, daemon=True)
        log.start()
        yield event["listen"]
        server.terminate()
        log.join()
        if server.wait(timeout=60) != 0:
            raise SystemExit(f"the server ended with status {server.returncode}")
        print("server: stopped, exit status 0")
    finally:
        server.kill()


def segment(address: str, encoded: bytes) -> tuple[pb.SegmentResponse, float]:
    """Request all `SIZES` with the whole hierarchy; return the answer and the seconds the call took."""
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = pb_grpc.SuperpixelServiceStub(channel)
        stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10, wait_for_ready=True)
        request = pb.SegmentRequest(encoded_image=encoded, target_counts=SIZES, include_hierarchy=True)
        start = time.perf_counter()
        answer = stub.Segment(request, timeout=30)
        return answer, time.perf_counter() - start


def print_table(
    photo: NDArray[np.uint8], answer: pb.SegmentResponse, label_map: codec.LabelMap, seconds: float
) -> None:
    """Print the counts, the time of each stage, and the label map's size compared with PNG."""
    timings = answer.timings
    png = io.BytesIO()
    Image.fromarray(label_map.labels.astype(np.uint16)).save(png, "PNG")
    rows = [
        ("image", f"{answer.width} x {answer.height}"),
        ("backend, algorithm version", f"{answer.backend}, {answer.algorithm_version}"),
        ("base regions", f"{answer.base_count:,}"),
        ("superpixels in the map", f"{label_map.count:,}"),
        ("levels asked for", ", ".join(f"{level.count:,}" for level in answer.levels)),
        ("counts in its tree", f"every one from 1 to {label_map.count:,}"),
        ("", ""),
        ("queue", f"{timings.queue_microseconds / 1000:.2f} ms"),
        ("decode", f"{timings.decode_microseconds / 1000:.2f} ms"),
        ("segment", f"{timings.segment_microseconds / 1000:.2f} ms"),
        ("encode", f"{timings.encode_microseconds / 1000:.2f} ms"),
        ("whole call, as the client saw it", f"{seconds * 1000:.2f} ms"),
        ("", ""),
        ("photograph, uncompressed", f"{photo.nbytes:,} bytes"),
        ("label map with whole hierarchy", f"{len(answer.label_map.data):,} bytes"),
        ("the finest map alone as 16-bit PNG", f"{png.tell():,} bytes"),
    ]
    width = max(len(name) for name, _ in rows)
    print(*(f"  {name:<{width}}  {value}".rstrip() for name, value in rows), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
