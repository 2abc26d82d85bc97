"""Install the kit; check that the engine can be imported, else build it; open the device."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tools.gpu import KIT, ROOT, SKIPPED

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
PIP += ["--no-deps", "--no-cache-dir", "--upgrade", "--target"]
PACKAGES = ("numpy", "pillow", "pytest", "hypothesis", "grpcio", "protobuf", "pydantic", "superpixel-service")
CUPY = ("cupy-cuda13x", "cupy-cuda12x")


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.engine", description=__doc__)
    parser.add_argument("command", choices=("install", "check"))
    parser.add_argument("site", type=Path, help="folder of installed packages, which is on PYTHONPATH")
    parser.add_argument("--simulate", action="store_true", help="open the simulated device")
    options = parser.parse_args()
    if options.command == "install":
        return install(KIT, options.site)
    return check(options.site, simulate=options.simulate)


def install(kit: Path, site: Path) -> int:
    """Install the kit's wheels into `site`; return the exit status."""
    wheels = sorted(kit.glob("*.whl"))
    if not wheels:
        print("no kit (make gpu-kit); this Python's own packages are used")
        return SKIPPED
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if not list(kit.glob(f"superpixel_service-*-{tag}-{tag}-*.whl")):
        print(f"the kit is for another Python than {platform.python_version()}; its own packages are used")
        return SKIPPED
    print(*(wheel.name for wheel in wheels), sep="\n")
    return subprocess.run([*PIP, str(site), *map(str, wheels)], check=False).returncode  # noqa: S603


def check(site: Path, *, simulate: bool) -> int:
    """Print the versions, import the engine, compile the kernels; return the exit status."""
    say_versions()
    try:
        importlib.import_module("superpixel_kernels")
    except ImportError as error:
        print(f"the engine cannot be imported ({error}): it is built here")
        start = time.monotonic()
        build = [*PIP, str(site), "--no-build-isolation", str(ROOT)]
        if status := subprocess.run(build, check=False).returncode:  # noqa: S603
            return status
        print(f"built in {time.monotonic() - start:.0f} s")
        os.execv(sys.executable, [sys.executable, "-m", "tools.gpu.engine", *sys.argv[1:]])  # noqa: S606
    kernels = importlib.import_module("superpixel_kernels")
    print(f"engine: {Path(kernels.__file__ or '').parent}, {kernels.available_instruction_sets()}")
    devices = importlib.import_module("benchmarks.gpu_devices")
    if not simulate and (missing := kernels.why_no_cuda()) is not None:
        print(f"backend 'cuda': {missing}")
        return 1
    start = time.monotonic()
    device = devices.opener(simulate=simulate)(0)
    print(f"device: {device.name}; opened, kernels compiled, in {time.monotonic() - start:.1f} s")
    with device.active():
        for kernel, threads in (("merge_rounds", 1024), ("merge_rounds", 256), ("slic_assign", 256)):
            blocks = device.resident_blocks(kernel, threads)
            print(f"{kernel}: {blocks} blocks of {threads} threads are resident at a time")
    return 0


def say_versions() -> None:
    """Print the versions of everything that matters; what cannot be found is left out."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors")
    if shutil.which("nvidia-smi"):
        query = "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem"
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["nvidia-smi", query, "--format=csv"], check=False, timeout=10)  # noqa: S603, S607
    for name in (*PACKAGES, *CUPY):
        with suppress(importlib.metadata.PackageNotFoundError):
            print(f"{name} {importlib.metadata.version(name)}")
    try:
        cupy = importlib.import_module("cupy")
        runtime = cupy.cuda.runtime
        print(f"CUDA runtime {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}")
        print(f"NVRTC {cupy.cuda.nvrtc.getVersion()}")
    except Exception as error:  # noqa: BLE001 (any fault of CuPy is news here, and `check` decides)
        print(f"CuPy: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
