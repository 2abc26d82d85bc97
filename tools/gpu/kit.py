"""Pack what `tools/gpu/check.sh` needs on a machine with a GPU, Python 3.12, CuPy and no package registry.

Writes the project's wheel and the packages that such a machine lacks to build/gpu-kit, and prints the size
of what has to travel. Needs Python 3.12 here, because the wheel contains compiled modules.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.gpu import KIT, ROOT

THERE = ("numpy", "pillow")
"""Packages of that machine; large, and any version fits."""

BROUGHT = (
    "pytest>=9,<10",
    "hypothesis>=6.130,<7",
    "pytest-timeout>=2.3,<3",
    "scikit-build-core>=1.1,<2",
    "nanobind>=3.1,<4",
)
"""Beside the wheel's dependencies: for the tests, and to build the engine there if the wheel does not fit."""

LIMIT = 64 << 20
"""Bytes that may travel: the kit and the working tree."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.kit", description=__doc__)
    parser.add_argument("--python", default=None, help="Python 3.12 (default: python3.12, or one of pyenv's)")
    parser.add_argument(
        "--venv", type=Path, help="also make an environment like that machine's, without CuPy"
    )
    parser.add_argument("--out", type=Path, default=KIT, help="folder (default: build/gpu-kit)")
    options = parser.parse_args(arguments)
    python = find_python(options.python)
    if python is None:
        print("make: gpu-kit needs Python 3.12 with pip and venv; name it by GPU_KIT_PYTHON=PROGRAM")
        return 1
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        pack(python, Path(temporary))
        for old in out.glob("*.whl"):
            old.unlink()
        for wheel in Path(temporary).glob("*.whl"):
            wheel.rename(out / wheel.name)
    if options.venv is not None:
        run([python, "-m", "venv", "--clear", str(options.venv)])
        run([str(options.venv / "bin" / "python"), "-m", "pip", "--quiet", "install", *THERE])
    wheels = list(out.glob("*.whl"))
    kit, tree = sum(wheel.stat().st_size for wheel in wheels), tracked_bytes()
    print(f"{out}: {kit / 1e6:.1f} MB in {len(wheels)} wheels; tracked files {tree / 1e6:.1f} MB")
    if kit + tree > LIMIT:
        print(f"more than {LIMIT / 1e6:.0f} MB have to travel")
        return 1
    return 0


def find_python(wanted: str | None) -> str | None:
    """Return a Python 3.12: the wanted one, the one on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [wanted] if wanted else ["python3.12", *map(str, sorted(pyenv.glob("3.12*/bin/python3.12")))]
    question = "import sys, venv; sys.exit(sys.version_info[:2] != (3, 12))"
    for candidate in candidates:
        program = shutil.which(candidate)
        if program is None:
            continue
        answer = subprocess.run([program, "-c", question], capture_output=True, check=False)  # noqa: S603
        if answer.returncode == 0:
            return program
    return None


def pack(python: str, folder: Path) -> None:
    """Build the project's wheel and download what it needs into `folder`."""
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    run([*pip, "download", "--quiet", "--only-binary=:all:", "--dest", str(folder), str(wheel), *BROUGHT])
    for name in THERE:
        for found in folder.glob(f"{name}-*.whl"):
            found.unlink()


def run(command: Sequence[str]) -> None:
    """Run a program; end this one if it fails."""
    if status := subprocess.run(command, check=False).returncode:  # noqa: S603
        raise SystemExit(status)


def tracked_bytes() -> int:
    """Return the bytes of the files that git tracks, 0 outside a checkout."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(git, capture_output=True, check=False).stdout.decode()  # noqa: S603
    return sum(path.stat().st_size for name in listed.split("\0") if name and (path := ROOT / name).is_file())


if __name__ == "__main__":
    sys.exit(main())
