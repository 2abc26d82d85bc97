"""The order in which workers take the suite's files."""

import signal

import pytest

# A signal that the caller ignores (nohup) would be ignored by every program that a test starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A worker takes whole files (`--dist loadfile`). A long file taken last would leave the other workers idle.
LONG_FILES_FIRST = (
    "tests/kernels/test_cuda_stages.py",
    "tests/project/test_commands.py",
    "tests/project/test_gpu_check.py",
    "tests/service/test_balance.py",
    "tests/service/test_drain.py",
    "tests/benchmarks/test_load_server.py",
    "tests/kernels/test_cuda_compile.py",
    "tests/kernels/test_other_machines.py",
    "tests/page/",
    "tests/service/",
    "tests/frontend/",
    "tests/deploy/",
    "tests/project/",
    "tests/examples/",
    "tests/kernels/test_cuda_guidance.py",
    "tests/kernels/test_engine.py",
    "tests/kernels/test_guidance_engine.py",
    "tests/kernels/cuda_sim/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.nodeid))


def rank(test: str) -> int:
    matching = (at for at, start in enumerate(LONG_FILES_FIRST) if test.startswith(start))
    return next(matching, len(LONG_FILES_FIRST))
