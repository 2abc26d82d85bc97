"""Interpreters that this machine does not have: Debian's packages, unpacked into a folder and not installed.

The tests of the wheels use them: arm64 under qemu, and versions newer than this machine's. This needs Debian
with apt-get, qemu-user and debian-archive-keyring, and no root.
"""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.release import project, run

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_GLIBC = range(17, 37)
"""Minor versions of glibc 2 that a wheel may ask for; bookworm has 2.36."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Python's names of architectures, and Debian's."""

_PROGRAM = """
import sys, zlib
import numpy as np
from superpixel_kernels import codec, segment

assert f"{sys.version_info[0]}.{sys.version_info[1]}" == sys.argv[1], sys.version
hierarchy = segment(np.load(sys.argv[2]))
labels = hierarchy.cut(hierarchy.base_count)
label_map = codec.decode(hierarchy.encode(50, include_hierarchy=True))
assert np.array_equal(label_map.labels, hierarchy.cut(50))
import superpixel_service.client.exports, superpixel_service.server, superpixel_service.api.application
print(zlib.crc32(np.ascontiguousarray(labels, np.int32).tobytes()))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter.

    Attributes:
        version: as "3.14".
        arch: Python's name of the architecture.
        suite: the release of Debian that has it.
    """

    version: str
    arch: str
    suite: str

    def __str__(self) -> str:
        return f"{self.version}-{self.arch}"


PYTHONS = (
    Python("3.11", "aarch64", "bookworm"),
    Python("3.14", "aarch64", "forky"),
    Python("3.14", "x86_64", "forky"),
)
"""The wheel for 3.11 on arm64, and that for the stable ABI on both architectures."""


def unpack(python: Python, folder: Path) -> list[str | Path]:
    """Unpack an interpreter into a folder; return the start of the command that runs it.

    The folder may have it already.

    Raises:
        SystemExit: apt-get cannot find or download it.
    """
    root = folder / "root"
    if not (root / f"usr/bin/python{python.version}").exists():
        _download(python, folder)
        for name in ("lib", "lib64", "bin"):
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(f"usr/{name}")
        for package in sorted((folder / "archives").glob("*.deb")):
            run(["dpkg-deb", "--extract", package, root])
    program = root / f"usr/bin/python{python.version}"
    if python.arch != platform.machine():
        return [shutil.which(f"qemu-{python.arch}") or f"qemu-{python.arch}", "-L", root, program]
    libraries = f"{root}/usr/lib/{python.arch}-linux-gnu"
    return [next((root / "usr").glob("lib*/ld-linux-*.so.?")), "--library-path", libraries, program]


def install(python: Python, dist: Path, folder: Path) -> Path:
    """Install superpixel-service with the extra `web` from `dist`; return the folder of the packages."""
    target = folder / "packages"
    platforms = [f"manylinux_2_{minor}_{python.arch}" for minor in _GLIBC] + [f"manylinux2014_{python.arch}"]
    tag = "cp" + python.version.replace(".", "")
    run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"),
            *("--upgrade", f"--target={target}", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={python.version}", *(f"--platform={each}" for each in platforms)),
            *(f"--abi={tag}", "--abi=abi3", "--abi=none"),
            *(f"--find-links={dist}", f"superpixel-service[web]=={project()['project']['version']}"),
        ]
    )
    return target


def segment(python: Python, dist: Path, folder: Path, pixels: Path) -> int:
    """Install the wheel and segment an image with it.

    Args:
        python: the interpreter.
        dist: folder of the wheels.
        folder: of the interpreter and the packages; kept.
        pixels: the image, as .npy.

    Returns:
        the CRC-32 of the base labels.

    Raises:
        SystemExit: a step failed.
    """
    command = unpack(python, folder)
    packages = install(python, dist, folder)
    environment = {"PYTHONHOME": str(folder / "root/usr"), "PYTHONPATH": str(packages)}
    return int(run([*command, "-c", _PROGRAM, python.version, pixels], environment=environment))


def _download(python: Python, folder: Path) -> None:
    """Download the packages of an interpreter and all that they need, with a private state of apt-get."""
    for name in ("state/lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    site = run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]).split()[0]
    arch = _ARCHITECTURES[python.arch]
    (folder / "sources.list").write_text(f"deb [arch={arch} signed-by={_KEYS}] {site} {python.suite} main\n")
    options = {
        "APT::Architecture": arch,
        "APT::Architectures::": arch,
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Dir::Cache": str(folder),
        "Dir::Etc::sourcelist": str(folder / "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": str(folder / "state"),
        "Dir::State::status": str(folder / "status"),
    }
    command = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    run([*command, "update"])
    run(
        [
            *command,
            "install",
            "--yes",
            "--download-only",
            "--no-install-recommends",
            f"python{python.version}",
            "libstdc++6",  # for NumPy's wheels
        ]
    )
