"""Short runs of the fuzzers; `make fuzz` runs them for long."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.fuzz_service import fuzz


def test_a_short_run_of_the_fuzzer_that_is_guided_by_coverage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.service.fuzz_coverage", str(tmp_path), "-runs=20000", "-seed=1"]
    # A program inherits the greatest memory of the process that starts it, here of all tests before: that
    # process is a shell's.
    forked = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    run = subprocess.run(forked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Done 20000 runs" in run.stderr
    assert len(list(tmp_path.iterdir())) > 100  # it found branches behind those of the seeds


@pytest.mark.parametrize("seed", [1, 2])
def test_a_short_run_of_the_fuzzer(seed: int) -> None:
    """`make fuzz` is the long one."""
    tally = fuzz(600, seed)
    # All outcomes are reached often enough for the rest to mean something.
    assert tally["OK"] > 60
    assert tally["INVALID_ARGUMENT"] > 200
    assert sum(count for name, count in tally.items() if name.startswith("HTTP2 ")) > 30
