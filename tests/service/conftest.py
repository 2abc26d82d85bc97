from collections.abc import Iterator

import pytest

from tests.service.harness import RunningServer, running_server

SMALL_LIMITS = (
    "--max-image-bytes=3000000",
    "--max-image-pixels=4000000",
    "--refinement-max-pixels=20000",
)


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server for all tests that leave it as it was."""
    with running_server(*SMALL_LIMITS) as running:
        yield running
