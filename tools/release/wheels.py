"""Build the wheels of superpixel-service, and from them those of superpixel-client.

    python -m tools.release.wheels --out dist [--arch x86_64 --arch aarch64]

One wheel is for Python 3.11; another one uses Python's stable ABI and is for 3.12 and all later versions.
auditwheel checks that they need no library but those of every Linux, and names the oldest glibc that they run
on. aarch64 is cross-compiled by Debian's g++-aarch64-linux-gnu.
"""

import argparse
import os
import platform
import shutil
import tempfile
from pathlib import Path

from tools.release import ROOT, environment_of, find_python, project, run
from tools.release.client import client_wheel

STABLE = "cp312"
"""The stable ABI of this version and all later ones. nanobind needs 3.12 for it."""

ARCHITECTURES = ("x86_64", "aarch64")

# libstdc++ is linked in, because its version would ask for a newer system than glibc's does. libgcc is not,
# because it would then ask for glibc 2.35.
_LINK = "-static-libstdc++ -Wl,--exclude-libs,ALL"


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder of the wheels (default: dist)"
    )
    parser.add_argument(
        "--arch", choices=ARCHITECTURES, action="append", help="default: this machine's; may be repeated"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for arch in arguments.arch or [platform.machine()]:
        for wheel in build(arguments.out, arch):
            print(wheel)
            print(client_wheel(wheel, arguments.out))
    return 0


def build(out: Path, arch: str) -> list[Path]:
    """Build the wheels of one architecture with every interpreter that is here.

    Raises:
        SystemExit: a build failed, or there is no interpreter.
    """
    interpreters = {"3.11": find_python("3.11"), "3.12 or newer": newer_python()}
    if not any(interpreters.values()):
        raise SystemExit("release: needs Python 3.11, or 3.12 or newer")
    for version, python in interpreters.items():
        if python is None:
            print(f"release: there is no Python {version} here, so its wheel was not made")
    return [build_one(out, arch, python) for python in interpreters.values() if python is not None]


def build_one(out: Path, arch: str, python: str) -> Path:
    """Build one wheel.

    Args:
        out: its folder.
        arch: the architecture.
        python: the interpreter to build with.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        builder = environment_of(folder / "builder", python)
        pip: list[str | Path] = [builder, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run([*pip, "install", *project()["dependency-groups"]["build"]])
        settings = {
            "wheel.py-api": STABLE,
            "build-dir": str(folder / "build"),
            "cmake.define.CMAKE_MODULE_LINKER_FLAGS": _LINK,
            **_target(arch),
        }
        flags = [f"--config-settings={name}={value}" for name, value in settings.items()]
        variables = {
            "SOURCE_DATE_EPOCH": run(["git", "log", "-1", "--format=%ct"]).strip(),
            "SETUPTOOLS_EXT_SUFFIX": _suffix(arch, builder),
            "PATH": os.pathsep.join([str(builder.parent), os.environ["PATH"]]),
        }
        plain = folder / "plain"
        run(
            [*pip, "wheel", "--no-build-isolation", "--no-deps", *flags, f"--wheel-dir={plain}", ROOT],
            environment=variables,
        )
        (wheel,) = plain.glob("*.whl")
        if arch != platform.machine():
            tool = Path(shutil.which("wheel") or "wheel")
            run([tool, "tags", "--remove", f"--platform-tag=linux_{arch}", wheel])
            (wheel,) = plain.glob("*.whl")
        return repaired(wheel, out)


def repaired(wheel: Path, out: Path) -> Path:
    """Check with auditwheel that the wheel needs nothing but glibc, and name the oldest one in its tag."""
    with tempfile.TemporaryDirectory() as temporary:
        run(["auditwheel", "repair", "--only-plat", f"--wheel-dir={temporary}", wheel])
        (made,) = Path(temporary).glob("*.whl")
        target = out / made.name
        shutil.move(made, target)
    return target


def newer_python() -> str | None:
    """The oldest interpreter from 3.12 on."""
    return next((found for minor in range(12, 20) if (found := find_python(f"3.{minor}")) is not None), None)


def _suffix(arch: str, python: Path) -> str:
    """The end of the name of a module; without the stable ABI it contains the architecture."""
    suffix = run([python, "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"]).strip()
    return suffix.replace(platform.machine(), arch)


def _target(arch: str) -> dict[str, str]:
    """CMake's definitions for an architecture."""
    if arch == platform.machine():
        return {}
    return {
        "cmake.define.CMAKE_SYSTEM_NAME": "Linux",
        "cmake.define.CMAKE_SYSTEM_PROCESSOR": arch,
        "cmake.define.CMAKE_C_COMPILER": f"{arch}-linux-gnu-gcc",
        "cmake.define.CMAKE_CXX_COMPILER": f"{arch}-linux-gnu-g++",
        "cmake.define.CMAKE_STRIP": f"{arch}-linux-gnu-strip",
        # CMake's FindPython needs a program that starts interpreters; this machine's needs none.
        "cmake.define.CMAKE_CROSSCOMPILING_EMULATOR": shutil.which("env") or "env",
    }


if __name__ == "__main__":
    raise SystemExit(main())
