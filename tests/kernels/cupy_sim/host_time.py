"""What the CUDA engine's host side costs per image: `python -m tests.kernels.cupy_sim.host_time`.

With real CuPy and a fake GPU that computes nothing: its calls return at once, and each wait for results takes
a given time. So the times are those of Python, of CuPy, of the copy of the image, and of threads that compete
for Python's lock. They are no times of a GPU.
"""

import argparse
import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from superpixel_kernels import segment
from superpixel_kernels.cuda import CudaWorkspace
from tests.kernels import images
from tests.kernels.cupy_sim import plugin
from tests.kernels.cupy_sim.build import VARIABLES, ensure

SIZE = (481, 321)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 4, 8, 16], metavar="N")
    parser.add_argument("--waits", nargs="+", type=int, default=[0, 300], help="microseconds", metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure (default: %(default)s)")
    options = parser.parse_args()
    ensure()
    if not VARIABLES.items() <= os.environ.items():
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | VARIABLES)
    plugin.pytest_configure()
    workspaces = [CudaWorkspace() for _ in range(max(options.threads))]
    image = images.photo(*SIZE)
    for workspace in workspaces:
        for _ in range(3):  # the second image is recorded, and the third one replays it
            segment(image, workspace=workspace)
    calls = plugin.calls_of(lambda: segment(image, workspace=workspaces[0]))
    print(f"calls of CUDA per image of {SIZE[0]}x{SIZE[1]}: {calls}")
    for wait in options.waits:
        for threads in options.threads:
            rate = images_per_second(image, workspaces[:threads], wait, options.seconds)
            print(f"a wait takes {wait} us, {threads} threads: {rate:.0f} images per second")
    sys.stdout.flush()
    os._exit(0)  # the fake GPU has not done what CuPy asked for


def images_per_second(image: np.ndarray, workspaces: list[CudaWorkspace], wait: int, seconds: float) -> float:
    """Segment the image on a thread per workspace."""
    counts, stop = [0] * len(workspaces), threading.Event()

    def work(rank: int) -> None:
        while not stop.is_set():
            segment(image, workspace=workspaces[rank])
            counts[rank] += 1

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(workspaces))]
    with idle_gpu(workspaces[0], wait):
        for thread in threads:
            thread.start()
        begun, before = time.perf_counter(), sum(counts)
        time.sleep(seconds)
        rate = (sum(counts) - before) / (time.perf_counter() - begun)
        stop.set()
        for thread in threads:
            thread.join()
    return rate


@contextmanager
def idle_gpu(workspace: CudaWorkspace, wait: int) -> Iterator[None]:
    """While this is open, the GPU computes nothing, and a wait takes `wait` microseconds."""
    counters = workspace._pipeline._counters_host.copy()
    library = plugin.library()
    ctypes.c_void_p.in_dll(library, "fake_kept").value = counters.ctypes.data
    ctypes.c_long.in_dll(library, "fake_kept_bytes").value = counters.nbytes
    idle = ctypes.c_long.in_dll(library, "fake_idle")
    idle.value = wait
    try:
        yield
    finally:
        idle.value = -1


if __name__ == "__main__":
    main()
