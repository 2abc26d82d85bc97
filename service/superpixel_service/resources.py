"""The cores, the memory and the open files that this process may use."""

import functools
import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_V1 = 1 << 60
"""Control groups of version 1 write "no memory limit" as a number above this."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What this process may use.

    Attributes:
        cores: number of cores, at least 1.
        cores_from: what limits them: "machine", "affinity" or "quota".
        memory_bytes: bytes of memory.
        memory_from: what limits it: "machine" or "control group".
    """

    cores: int
    cores_from: str
    memory_bytes: int
    memory_from: str


def find_resources(root: Path = Path("/")) -> Resources:
    """Look at the machine, the affinity, and the control groups of this process.

    A container on a large node usually has all cores in its affinity and a quota (cpu.max) of a few.

    Args:
        root: where /proc and /sys are, for tests.
    """
    cores, cores_from = len(os.sched_getaffinity(0)), "affinity"
    if cores == os.cpu_count():
        cores_from = "machine"
    quota = _cpu_quota(root)
    if quota is not None and math.ceil(quota) < cores:
        cores, cores_from = max(1, math.ceil(quota)), "quota"
    memory, memory_from = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "machine"
    limit = _memory_limit(root)
    if limit is not None and limit < memory:
        memory, memory_from = limit, "control group"
    return Resources(cores, cores_from, memory, memory_from)


@functools.cache
def usable_cores() -> int:
    """The number of cores that this process may use, at least 1."""
    return find_resources().cores


@functools.cache
def usable_memory() -> int:
    """The memory that this process may use, in bytes."""
    return find_resources().memory_bytes


_OWN_FILES = 64
"""Files, pipes and sockets of a server besides its callers' connections."""

_HEALTH_CONNECTIONS, _METRICS_CONNECTIONS = 256, 64
_MOST_FILES = 1 << 16
"""A limit above this is not used up: some systems allow a billion."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The number of connections that each port of a server accepts at the same time."""

    main: int
    health: int
    metrics: int


def raise_file_limit() -> None:
    """Let this process open as many files as it may, up to `_MOST_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_files(most: int) -> Connections:
    """Divide the open files that this process may have, so that no port's callers use up those of another.

    Args:
        most: most connections of the main port.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, _MOST_FILES)
    health, metrics = min(_HEALTH_CONNECTIONS, files // 8), min(_METRICS_CONNECTIONS, files // 16)
    left = files - health - metrics - min(_OWN_FILES, files // 2)
    return Connections(max(1, min(most, left)), max(1, health), max(1, metrics))


def _cpu_quota(root: Path) -> float | None:
    """The smallest CPU quota of the process's control groups, in cores."""
    quotas = []
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _memory_limit(root: Path) -> int | None:
    """The smallest memory limit of the process's control groups, in bytes."""
    limits = []
    for folder in _groups(root, "memory"):
        words = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        if len(words) == 1 and words[0].isdecimal() and 0 < int(words[0]) < _UNLIMITED_V1:
            limits.append(int(words[0]))
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> list[Path]:
    """The folders of the process's control group and of its ancestors, in version 2 and for `controller`."""
    mount = root / "sys/fs/cgroup"
    folders = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top = mount
        elif controller in controllers.split(","):
            top = mount / controller
        else:
            continue
        # In a container the path may name a folder that is not mounted; the top is then its own group.
        inner = top / path.lstrip("/")
        folders += [inner, *(parent for parent in inner.parents if parent.is_relative_to(top))]
    return folders


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
