"""Run the CUDA engine's tests with real CuPy on the simulated device: `python -m tests.kernels.cupy_sim`.

The first run installs CuPy in build/cupy-sim and builds the fake CUDA. Arguments go to pytest.
"""

import os
import sys

from tests.kernels.cupy_sim.build import VARIABLES, ensure

TESTS = (
    "tests/kernels/cupy_sim",
    *(
        f"tests/kernels/test_cuda_{name}.py"
        for name in ("calls", "graphs", "memory", "stages", "guidance", "tiled")
    ),
)


def main() -> None:
    """Run pytest in this process's place."""
    ensure()
    arguments = sys.argv[1:]
    if not any(argument.startswith("tests/") for argument in arguments):
        arguments += [*TESTS, "-m", "not slow"]
    # A signal would not get through the fake runtime, which C calls.
    options = ["-p", "tests.kernels.cupy_sim.plugin", "--timeout-method", "thread"]
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    os.execve(sys.executable, command, os.environ | VARIABLES)


if __name__ == "__main__":
    main()
