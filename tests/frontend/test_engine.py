"""The engine in WebAssembly: the bits of the C++ engine, in Node. `make wasm` builds it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.frontend import engine_cases
from tests.frontend.conftest import FRONTEND, engine_missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(engine_missing() is not None, reason=str(engine_missing())),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("engine")
    engine_cases.write(made)
    return made


def test_engine_gives_the_bits_of_the_cpp_engine_in_node(folder: Path) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "test/engine/engine.test.js"],
        cwd=FRONTEND,
        env={**os.environ, "SUPERPIXEL_ENGINE_CASES": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) == int(counts["tests"]) > 60, counts
