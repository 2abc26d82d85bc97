"""Short runs of the fuzzers; `make fuzz` runs them for long."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.fuzz_service import fuzz


@pytest.mark.parametrize(
    ("runs", "least_found"), [(4_000, 60), pytest.param(40_000, 100, marks=pytest.mark.slow)]
)
def test_the_fuzzer_that_is_guided_by_coverage(runs: int, least_found: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.service.fuzz_coverage", str(tmp_path), f"-runs={runs}", "-seed=1"]
    # A process starts with the peak memory of the one that forked it. A shell's is small.
    forked = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    run = subprocess.run(forked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Done {runs} runs" in run.stderr
    assert len(list(tmp_path.iterdir())) > least_found  # it found branches beyond those of the seeds


@pytest.mark.parametrize(
    ("seed", "attempts"), [(1, 200), *(pytest.param(seed, 1000, marks=pytest.mark.slow) for seed in (2, 3))]
)
def test_the_fuzzer_of_a_real_server(seed: int, attempts: int) -> None:
    tally = fuzz(attempts, seed)
    # All outcomes occur often enough for the rest to mean something.
    assert tally["OK"] > attempts / 10
    assert tally["INVALID_ARGUMENT"] > attempts / 3
    assert sum(count for name, count in tally.items() if name.startswith("HTTP2 ")) > attempts / 20
