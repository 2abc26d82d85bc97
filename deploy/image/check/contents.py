"""Checks of an image's files and configuration, without running it."""

import stat
from pathlib import Path

from deploy.image.check.build import BASE, REGISTRIES, Image
from deploy.image.check.report import check, say
from deploy.image.check.trees import Tree, differences

_ACCOUNTS = {
    f"etc/{name}{suffix}" for name in ("passwd", "group", "shadow", "gshadow") for suffix in ("", "-")
}
# The build leaves empty files at its mount points.
_MOUNT_POINTS = {path[1:] for path in REGISTRIES} | {"etc/hosts", "etc/resolv.conf"}
_BUILD_TOOLS = {
    "gcc",
    "g++",
    "cc",
    "c++",
    "cc1",
    "cc1plus",
    "ld",
    "as",
    "make",
    "ninja",
    "cmake",
    "clang",
    "nvcc",
}
_PACKAGES = "opt/superpixel/lib/python3.11/site-packages"


def check_contents(image: Image, entries: Tree, base: Tree) -> None:
    """Check that the image adds only /opt/superpixel and its user to its base, and cannot be modified.

    Raises:
        CheckFailed: the image has more, or less, or another configuration.
    """
    added = {path for path in differences(entries, base) if not path.startswith("opt/")}
    unexpected = added - _ACCOUNTS - _MOUNT_POINTS
    check(not unexpected, f"{image.name}: differs from its base in {sorted(unexpected)}")
    check(
        {path.split("/")[1] for path in entries if path.startswith("opt/")} == {"superpixel"},
        f"{image.name}: /opt has more than superpixel",
    )
    _check_programs(image, entries)
    _check_packages(image, entries)
    _check_config(image)
    size = sum((image.root / path).lstat().st_size for path in entries if path.startswith("opt/"))
    say(f"{image.name}: {size / 1e6:.0f} MB above its base")


def _check_programs(image: Image, entries: Tree) -> None:
    programs = {
        path
        for path, (mode, *_) in entries.items()
        if not stat.S_ISDIR(mode) and (mode & 0o111 or "bin/" in path)
    }
    tools = sorted(path for path in programs if Path(path).name in _BUILD_TOOLS)
    check(not tools, f"{image.name}: has the build tools {tools}")
    for path, (mode, user, _, _) in entries.items():
        if path.startswith("opt/"):
            writable = mode & 0o022 and not stat.S_ISLNK(mode)
            check(user == 0 and not writable, f"{image.name}: {path} is writable")


def _check_packages(image: Image, entries: Tree) -> None:
    check(f"{_PACKAGES}/pip" not in entries, f"{image.name}: has pip")
    has_cupy = f"{_PACKAGES}/cupy" in entries
    check(has_cupy is (image.name == "cuda"), f"{image.name}: has CuPy: {has_cupy}")
    for path in entries:
        source = path.startswith(f"{_PACKAGES}/superpixel_service/") and path.endswith(".py")
        folder, _, name = path.rpartition("/")
        compiled = f"{folder}/__pycache__/{name[:-3]}.cpython-311.pyc"
        check(not source or compiled in entries, f"{image.name}: {path} is not compiled")


def _check_config(image: Image) -> None:
    config = image.config
    check(config["User"] == "10001:10001", f"{image.name}: user {config['User']}")
    check(config["StopSignal"] == "SIGTERM", f"{image.name}: stop signal {config['StopSignal']}")
    ports = set(config["ExposedPorts"])
    check(ports == {"50051/tcp", "50052/tcp", "9090/tcp"}, f"{image.name}: ports {sorted(ports)}")
    base = config["Labels"]["org.opencontainers.image.base.name"]
    check(base == BASE, f"{image.name}: the label says that its base is {base}")
