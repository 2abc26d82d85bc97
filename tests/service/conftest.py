import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.buckets import Bucket, s3_server
from tests.service.faulty_proxy import FaultyProxy
from tests.service.fuzz_service import MEMORY_LIMIT_BYTES
from tests.service.harness import RunningServer, request, running_server
from tests.service.images import encoded, scene
from tests.service.scripted import Caller

SMALL_LIMITS = (
    "--max-image-bytes=3000000",
    "--max-image-pixels=4000000",
    "--refinement-max-pixels=20000",
)


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server for all tests that leave no trace in it."""
    with running_server(*SMALL_LIMITS) as running:
        yield running


@pytest.fixture(scope="session")
def confined() -> Iterator[RunningServer]:
    """One server under a limit of memory, for all tests that send harmful input."""
    with running_server("--max-image-bytes=3000000", "--max-image-pixels=4000000") as running:
        resource.prlimit(running.process.pid, resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        running.stub.Segment(request(encoded(scene(2000, 2000), "JPEG"), 5))  # peak of a sound image
        yield running


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    """A real S3 server on this machine."""
    with s3_server() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int) -> Iterator[Bucket]:
    """Its buckets, behind a proxy of this test alone."""
    with FaultyProxy(s3_port) as proxy:
        yield Bucket(proxy)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each of the two clients."""
    return Caller(request.param)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with `scene()`."""
    path = tmp_path_factory.mktemp("photo") / "street.png"
    path.write_bytes(encoded(scene()))
    return path
