"""Install CuPy in build/cupy-sim, and build its module `runtime` anew on a fake CUDA.

Of CuPy's modules that are used here, only `cupy_backends.cuda.api.runtime` contains NVIDIA's runtime. The
others find it through that module, and the driver by the name libcuda.so.1.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.kernels.cupy_sim import runtime  # noqa: F401 - fills EXPORTS
from tests.kernels.cupy_sim.calls import EXPORTS

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / "build" / "cupy-sim"

VARIABLES = {
    "SUPERPIXEL_TEST_GPU": "1",
    "SUPERPIXEL_TEST_CUPY_SIM": "1",
    "CUPY_CACHE_DIR": str(FOLDER / "cache"),
    "PYTHONPATH": str(FOLDER / "site"),
}
"""The environment of a process that uses CuPy on the fake CUDA."""

CUPY = "14.2.0"
PACKAGES = (f"cupy-cuda13x=={CUPY}", "nvidia-cuda-runtime>=13,<14")
TOOLS = ("Cython>=3.2,<3.3", "nvidia-cuda-crt>=13,<14")
"""To build the module: the compiler that CuPy's sources ask for, and headers that the others include."""

MODULE = "cupy_backends/cuda/api/runtime"


def ensure() -> None:
    """Install and build what is missing, or older than these files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = FOLDER / ".made"
    wanted = {"installed": repr((PACKAGES, TOOLS, sys.version)), "built": _digest()}
    found = json.loads(made.read_text()) if made.exists() else {}
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found.get("installed") != wanted["installed"]:
            made.unlink(missing_ok=True)
            for name, packages in (("site", PACKAGES), ("tools", TOOLS)):
                shutil.rmtree(FOLDER / name, ignore_errors=True)
                pip("install", "--no-deps", "--target", str(FOLDER / name), *packages)
        if found != wanted:
            build_libraries(FOLDER, unpack_sources(FOLDER))
            made.write_text(json.dumps(wanted))


def _digest() -> str:
    files = sorted([HERE / "build.py", *HERE.glob("*.cpp"), *HERE.glob("include/*.h")])
    contents = [repr(list(EXPORTS)).encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"".join(contents)).hexdigest()


def pip(*arguments: str, **variables: str) -> None:
    """Run pip, with further environment variables."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, env=os.environ | variables)


def unpack_sources(out: Path) -> Path:
    """Download CuPy's source distribution; return the folder of its sources."""
    folder = out / f"cupy-{CUPY}"
    if not (folder / f"{MODULE}.pyx").exists():
        # pip prepares the package's metadata, for which CuPy would look for CUDA.
        pip(
            "download",
            "--no-deps",
            "--no-binary=cupy",
            "--dest",
            str(out),
            f"cupy=={CUPY}",
            CUPY_INSTALL_USE_STUB="1",
        )
        with tarfile.open(out / f"cupy-{CUPY}.tar.gz") as archive:
            archive.extractall(out, filter="data")
    return folder


def build_libraries(out: Path, sources: Path) -> None:
    """Build libcuda.so.1 and the module, which is linked to it."""
    headers = [out / name / "nvidia" / "cu13" / "include" for name in ("site", "tools")]
    found = re.search(r"#define CUDA_VERSION (\d+)", (headers[0] / "cuda.h").read_text())
    assert found is not None
    constants = {"CUPY_USE_CUDA_PYTHON": False, "CUPY_CUFFT_STATIC": False, "CUPY_CUDA_VERSION": found[1],
                 "CUPY_HIP_VERSION": 0}  # fmt: skip
    defined = ",".join(f"{name}={value}" for name, value in constants.items())
    translated, compiled = out / "runtime.cpp", out / "runtime.o"
    cython = [sys.executable, "-m", "cython", "--cplus", "-3", "-E", defined]
    run(*cython, f"{MODULE}.pyx", "-o", str(translated), cwd=sources, PYTHONPATH=str(out / "tools"))
    includes = [sysconfig.get_paths()["include"], HERE / "include", *headers]
    # The generated file includes headers relative to the folder of the module.
    options = ["-O1", "-fPIC", "-w", '-DCYTHON_EXTERN_C=extern "C"', *(f"-I{folder}" for folder in includes)]
    run("g++", *options, f"-I{(sources / MODULE).parent}", "-c", str(translated), "-o", str(compiled))

    listed = run("nm", "--undefined-only", str(compiled))
    needed = {line.split()[-1] for line in listed.splitlines() if re.search(r" U cuda\w+$", line)}
    unsupported = needed - EXPORTS.keys() - {"cudaGetDeviceProperties"}
    lines = [f"FUNCTION({name})" for name in EXPORTS] + [
        f"UNSUPPORTED({name})" for name in sorted(unsupported)
    ]
    (out / "functions.inc").write_text("\n".join(lines) + "\n")
    library = out / "libcuda.so.1"
    run(
        "g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wl,-soname,libcuda.so.1", f"-I{out}",
        *(f"-I{folder}" for folder in headers), str(HERE / "library.cpp"), "-o", str(library),
    )  # fmt: skip
    module = out / "site" / f"{MODULE}{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert module.exists(), f"CuPy has no {module.name}"
    module.unlink()  # one that is in use must not change
    run("g++", "-shared", str(compiled), str(library), "-o", str(module))


def run(*command: str, cwd: Path | None = None, **variables: str) -> str:
    """Run a program; return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
