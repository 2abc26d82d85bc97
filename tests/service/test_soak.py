"""The short form of `make soak`, and that its check of memory can fail."""

from pathlib import Path

import pytest

from tests.service import soak
from tests.service.harness import running_server
from tests.service.mortal import mortal_server

KINDS = {"good", "bulk", "bad", "cancelled", "hurried", "stream", "left stream", "abandoned"}


@pytest.mark.parametrize("calls", [10, pytest.param(400, marks=pytest.mark.slow)])
def test_mixed_callers_leave_nothing_behind(calls: int) -> None:
    """A number of calls, not a time: every kind of call is among them on any machine."""
    with running_server(*soak.FLAGS) as server:
        outcome = soak.run(server, calls=calls)
    print(outcome.report())
    assert outcome.unexpected == []
    assert outcome.left == {}
    assert outcome.is_flat, outcome.report()
    assert {kind for kind, _ in outcome.codes} >= KINDS


@pytest.mark.slow
def test_a_server_that_leaks_is_detected(tmp_path: Path) -> None:
    with mortal_server(tmp_path, *soak.FLAGS, order="leak") as mortal:
        outcome = soak.run(mortal.server, calls=15)
    assert not outcome.is_flat, outcome.report()
