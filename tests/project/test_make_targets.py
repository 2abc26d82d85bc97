"""`make test` and `make test-slow` together run every test, and each test once."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKS = ("slow", "slow_under_sanitizer", "unsanitized")


def pytest_runs(target: str) -> list[tuple[list[str], str, bool]]:
    """What the target gives to pytest: paths, the expression of marks, and whether under the sanitizers."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, check=True, capture_output=True, text=True
    )
    runs = []
    for line in done.stdout.replace("\\\n", " ").splitlines():
        _, found, arguments = line.partition("-m pytest ")
        if found:
            words = shlex.split(arguments)
            paths = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
            runs.append((paths, words[words.index("-m") + 1], "ASAN_OPTIONS" in line))
    return runs


def runs_of(target: str, *, sanitized: bool) -> tuple[list[str], str]:
    (run,) = [run[:2] for run in pytest_runs(target) if run[2] == sanitized]
    return run


@pytest.mark.parametrize(("sanitized", "folder"), [(False, "tests"), (True, "tests/kernels")])
def test_what_make_test_leaves_out_make_test_slow_runs(sanitized: bool, folder: str) -> None:
    expressions = []
    for target in ("test", "test-slow"):
        paths, expression = runs_of(target, sanitized=sanitized)
        assert paths == [folder]
        assert set(re.findall(r"\w+", expression)) - {"and", "or", "not"} <= set(MARKS)
        expressions.append(expression)
    for values in itertools.product((False, True), repeat=len(MARKS)):
        marks = dict(zip(MARKS, values, strict=True))
        times = sum(bool(eval(expression, {}, marks)) for expression in expressions)
        assert times == (0 if sanitized and marks["unsanitized"] else 1), marks


@pytest.mark.parametrize("target", ["test-slow", "test-wasm"])
def test_the_engine_in_webassembly_is_built_and_installed_before_its_tests(target: str) -> None:
    # Under another name, because an existing module is one of the sources of the package.
    command = ["make", "--dry-run", "--always-make", "WASM=missing.wasm", target]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    steps = done.stdout.replace("\\\n", " ").splitlines()
    built, installs, tests = (
        [number for number, step in enumerate(steps) if found in step]
        for found in ("tools/wasm.sh", "SUPERPIXEL_WERROR=ON --group dev", "-m pytest")
    )
    assert built[0] < installs[-1] < tests[0]


def test_continuous_integration_runs_make_test() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
