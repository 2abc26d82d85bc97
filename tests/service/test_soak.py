"""The short form of `make soak`, and that its check of memory can fail."""

from pathlib import Path

from tests.service import soak
from tests.service.harness import running_server
from tests.service.mortal import mortal_server


def test_mixed_callers_leave_nothing_behind() -> None:
    with running_server(*soak.FLAGS) as server:
        outcome = soak.run(server, seconds=20)
    print(outcome.report())
    assert outcome.unexpected == []
    assert outcome.left == {}
    assert outcome.is_flat, outcome.report()
    kinds = {kind for kind, _ in outcome.codes}
    assert kinds >= {"good", "bulk", "bad", "cancelled", "hurried", "stream", "left stream", "abandoned"}


def test_a_server_that_leaks_is_found_out(tmp_path: Path) -> None:
    with mortal_server(tmp_path, *soak.FLAGS) as mortal:
        mortal.order("leak")
        outcome = soak.run(mortal.server, seconds=10)
    assert not outcome.is_flat, outcome.report()
