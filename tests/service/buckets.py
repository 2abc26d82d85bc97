"""A real S3 server on this machine, behind a proxy that can refuse, delay and cut connections."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.service.command import started, superpixel
from tests.service.faulty_proxy import FaultyProxy

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def files_of(port: int) -> Any:
    """The buckets of the S3 server at a port, for fsspec."""
    import fsspec

    return fsspec.filesystem(
        "s3",
        key=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=f"http://127.0.0.1:{port}",
        skip_instance_cache=True,
    )


class Bucket:
    """The buckets of a server on this machine, behind a proxy."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        self.environment = CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
        self.files = files_of(proxy.port)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return superpixel(*arguments, **self.environment)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return started(
            *arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | self.environment,
        )

    def fetch(self, path: str, to: Path) -> Path:
        self.files.invalidate_cache()
        self.files.get(path, str(to), recursive=True)
        return to


@contextmanager
def s3_server() -> Iterator[int]:
    """moto's server; gives its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
