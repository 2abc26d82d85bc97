"""Short attacks on real servers. Only facts that do not depend on the machine's speed are asserted."""

from pathlib import Path

import pytest

from tests.attack.catalogue import ATTACKS, BY_NAME, Attack
from tests.attack.decoding import sequential_scans
from tests.attack.measure import Result, measure
from tests.attack.report import as_json, markdown, verdict
from tests.attack.victim import Call, Period

DEFAULT = ("sequential-scans", "gzip-bombs")
"""The others are in `make test-slow` and `make attack`."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow) for name in BY_NAME]
)
def test_an_attack_is_withstood(name: str, tmp_path: Path) -> None:
    result = measure(BY_NAME[name], 1.0, tmp_path)
    print(verdict(result), result.facts)
    # It is alive, within its memory, and says what it must; `measure` itself waits for the victim's answers.
    assert result.faults == []
    if result.during is not None:
        assert result.peak_bytes > 0


def test_the_names_are_unique_and_described() -> None:
    assert len(BY_NAME) == len(ATTACKS)
    assert all(attack.description.endswith(".") for attack in ATTACKS)
    assert {attack.point for attack in ATTACKS} <= set(range(12, 22))


def period(*outcomes: str, seconds: float = 0.02) -> Period:
    return Period(1.0, [Call(float(number), seconds, outcome) for number, outcome in enumerate(outcomes)])


def test_calls_without_an_answer_count() -> None:
    some = period("OK", "OK", "OK", "DEADLINE_EXCEEDED")
    assert (some.share, some.rate, some.milliseconds(95)) == (0.75, 3.0, pytest.approx(20.0))
    none = period("UNAVAILABLE")
    assert (none.share, none.milliseconds(50)) == (0.0, float("inf"))


def test_the_table_names_every_fault() -> None:
    good, bad = period(*["OK"] * 10), period("OK", *["DEADLINE_EXCEEDED DEADLINE_PASSED"] * 9)
    attack = Attack(sequential_scans, 13)
    withstood = Result(attack, {"outcomes": {}}, [], [], good, good, good, 1, 100 << 20, 1.5, 0.01)
    failed = Result(attack, {}, ["a server ended with status 70"], ["late"], good, bad, good)
    table = markdown([withstood, failed]).splitlines()
    assert table[2] == (
        "| 13 | sequential-scans | 20/20 | 20/20 | 20/20 | 10.0 | 10.0 | 100% | 100 | 1.5 | 10 | withstood |"
    )
    assert table[3].endswith("| FAILED: a server ended with status 70; late |")
    assert '"DEADLINE_EXCEEDED DEADLINE_PASSED": 9' in "\n".join(table)
    assert '"late"' in as_json([failed])
