"""Makes what is published: wheels, the client's distribution, the npm tarball, bills of materials, checksums.

docs/release.md describes a release. Needs the packages of the dependency group `release`.
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(command: list[str | Path], *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Run a program; return its standard output.

    Raises:
        SystemExit: it failed; its output is printed.
    """
    done = subprocess.run(  # noqa: S603
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-8000:], done.stderr[-8000:])
        raise SystemExit(f"release: failed: {' '.join(map(str, command))}")
    return done.stdout


def project() -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def environment_of(folder: Path, python: str | Path) -> Path:
    """Make a fresh virtual environment; return its interpreter."""
    run([python, "-m", "venv", "--clear", folder])
    return folder / "bin" / "python"


def find_python(version: str) -> str | None:
    """An interpreter of a version such as "3.11", from the PATH or pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}"))), f"python{version}"]
    for candidate in candidates:
        path = shutil.which(candidate)
        # pyenv puts a program of this name on the PATH also for versions that are not in use.
        if path is not None and "shims" not in Path(path).parts:
            return path
    return None
