"""Fixtures of the tests of the npm package."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from superpixel_service.client.exports import Annotation
from tests.frontend import export_cases
from tests.frontend import fixtures as made

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"


ENGINE = FRONTEND / "src" / "engine" / "superpixel.wasm"


def engine_missing() -> str | None:
    """Why the tests of the engine in WebAssembly cannot run; None: it is built from these sources."""
    if not ENGINE.is_file():
        return f"{ENGINE.relative_to(ROOT)} is missing: run `make wasm`"
    kernels = ROOT / "kernels" / "superpixel_kernels"
    parts = [kernels / "cpu", kernels / "codec", kernels / "include", kernels / "wasm", ROOT / "third_party"]
    sources = [path for part in parts for path in part.rglob("*") if path.suffix in {".cpp", ".h", ".c"}]
    if any(path.stat().st_mtime > ENGINE.stat().st_mtime for path in sources):
        return f"{ENGINE.relative_to(ROOT)} is older than its sources: run `make wasm`"
    return None


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of files that Python wrote (fixtures.py), and that JavaScript must agree with. Read-only."""
    base = tmp_path_factory.getbasetemp()
    # The workers of a run have folders side by side. One of them writes the files, for all.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fixtures"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "written").exists():
            made.write(folder)
            (folder / "written").touch()
        before = times(folder)
    yield folder
    assert times(folder) == before, "a test wrote into the folder that tests of other workers read"


def times(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    found = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    del found[folder / "lock"]
    return found


@pytest.fixture(scope="session")
def cases(fixtures: Path) -> list[tuple[str, Annotation]]:
    """The annotations that both languages export, by name."""
    return list(export_cases.annotations(fixtures))


def node(fixtures: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Node in frontend/."""
    assert (FRONTEND / "node_modules").is_dir(), (
        "frontend/node_modules is missing: run `make frontend-install`"
    )
    return subprocess.run(
        ["node", *map(str, arguments)],
        cwd=FRONTEND,
        env={**os.environ, "SUPERPIXEL_FIXTURES": str(fixtures)},
        capture_output=True,
        text=True,
    )
