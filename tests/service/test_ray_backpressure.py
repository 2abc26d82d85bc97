"""Data sets on Ray beside a target that takes no data: reading stops, so memory stays bounded."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.service.buckets import Bucket, files_of, s3_server
from tests.service.data_sets import label_maps
from tests.service.faulty_proxy import FaultyProxy
from tests.service.images import encoded, scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

ACTORS, UNIT = 2, 4
QUIET_SECONDS = 15.0


class Images:
    """Serves images, and counts those that were read.

    Attributes:
        read: the paths that were asked for.
    """

    def __init__(self, number: int) -> None:
        kinds = [encoded(scene(481, 321, seed), "JPEG") for seed in range(8)]
        self.read: set[str] = set()
        read = self.read

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                read.add(self.path)
                data = kinds[int(self.path[1:4]) % len(kinds)]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        self.addresses = [f"http://127.0.0.1:{port}/{index:03}.jpg" for index in range(number)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def images(number: int) -> Iterator[Images]:
    served = Images(number)
    try:
        yield served
    finally:
        served.close()


def actors_mib(process: "subprocess.Popen[str]") -> list[int]:
    """Memory of each actor of a run."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        try:
            if "MapWorker" in "".join(each.cmdline()):
                found.append(each.memory_info().rss >> 20)
        except psutil.Error:
            continue
    return sorted(found)


@pytest.mark.parametrize("number", [100, 400])
def test_a_target_that_takes_no_data_stops_the_reading(number: int, tmp_path: Path) -> None:
    with s3_server() as port, FaultyProxy(port) as proxy, images(number) as source:
        bucket = Bucket(proxy)
        bucket.files.mkdir("slow")
        (tmp_path / "list.txt").write_text("\n".join(source.addresses))
        flags = ("--format", "shards", "--images-per-shard", UNIT, "--engine", "ray", "--jobs", ACTORS)
        run = bucket.start(
            *("bulk", tmp_path / "list.txt", "--out", "s3://slow/out", *flags, "--retry-for", 1200)
        )
        assert run.stdout is not None
        for _ in range(3):
            assert run.stdout.readline()
        proxy.set("stall")
        before, quiet_since = len(source.read), time.monotonic()
        while time.monotonic() < quiet_since + QUIET_SECONDS:
            time.sleep(0.1)
            if len(source.read) != before:
                before, quiet_since = len(source.read), time.monotonic()
        committed = len(bucket_tars(port))
        print(f"{number} images: {before} read, {committed} units written, actors of {actors_mib(run)} MiB")
        # Each actor has read one unit that it cannot write. It does not begin another.
        assert before <= UNIT * (committed + ACTORS)
        assert before < number
        proxy.set("pass")
        _, said = run.communicate(timeout=1200)
        assert run.returncode == 0, said
        assert f"{number} made, 0 already there, 0 failed" in said
        assert len(label_maps(bucket.fetch("slow/out", tmp_path / "out"))) == number


def bucket_tars(port: int) -> list[str]:
    """The tar files in the bucket, seen past the proxy."""
    found: list[str] = files_of(port).ls("slow/out/shards")
    return found
