"""Runs this folder in the environment that has the labelling tools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-integrations"


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.timeout(1200)
@pytest.mark.skipif(Path(sys.prefix) == ENVIRONMENT, reason="this is the environment")
@pytest.mark.skipif(not (ENVIRONMENT / ".tools").exists(), reason="run `make integrations-install` (2 GB)")
def test_the_adapters_work_with_the_real_tools():
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", "-m", "pytest", "tests/integrations", "-W", "default", "-q"],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
