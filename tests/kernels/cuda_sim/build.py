"""Compiles the .cu files, and the program that runs them, with g++. Results are cached by content."""

import fcntl
import functools
import hashlib
import platform
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import superpixel_kernels
from tests.kernels.cuda_sim import source

RUNTIME = Path(__file__).with_name("runtime")
PACKAGE = Path(superpixel_kernels.__file__).parent
KERNELS = PACKAGE / "cuda"
INCLUDE = PACKAGE / "include"
CACHE = Path(__file__).parents[3] / "build" / "cuda_sim"

# A signal may stop a kernel at any instruction. Those of a PLT have no source line.
_COMMON = ["-std=c++17", "-g", "-fPIC", "-fno-plt", "-fno-omit-frame-pointer"]
_WORKER = {
    "hooks": ["-O2"],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
# -O1 keeps the memory accesses of the source, and compiles quickly.
_KERNEL = {
    "hooks": [
        "-O1", "-fsanitize=thread", "--param=tsan-distinguish-volatile=1",
        "--param=tsan-instrument-func-entry-exit=0",
    ],
    "asan": [
        "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-coverage=trace-pc",
        "--param=asan-stack=1",
    ],
}  # fmt: skip
_LANGUAGE = [
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-fno-exceptions",
    "-fno-rtti", "-fno-threadsafe-statics", "-fno-gnu-unique", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused",
]  # fmt: skip


class CompileFailed(Exception):
    """g++ rejected a .cu file; the message is that of g++."""


def worker(variant: str) -> Path:
    """Build the worker, in the variant "hooks" (modes plain and race) or "asan"; returns its path."""
    return cached(
        f"worker-{variant}",
        digest_of(_WORKER[variant], _runtime()),
        lambda out: _run([
            "g++", *_COMMON, *_WORKER[variant], "-std=c++20", "-rdynamic",
            *map(str, sorted(RUNTIME.glob("*.cpp"))), "-o", str(out), "-ldl",
        ]),
    )  # fmt: skip


def library(cu: Path, variant: str) -> Path:
    """Build a shared object from a .cu file, for the worker to load; returns its path.

    Raises:
        CompileFailed: g++ rejected the file.
        UnsupportedSource: the file uses CUDA in a way that `source` does not support.
    """
    headers = tuple(sorted([*cu.parent.glob("*.cuh"), *cu.parent.glob("*.h"), *INCLUDE.rglob("*.h")]))
    digest = digest_of(_KERNEL[variant] + _LANGUAGE, _runtime() | contents_of((cu, *headers)))

    def make(out: Path) -> None:
        prepared, compiled = out.with_suffix(".ii"), out.with_suffix(".o")
        prepared.write_text(source.prepare(_preprocessed(cu)))
        flags = [*_COMMON, *_LANGUAGE, *_KERNEL[variant]]
        _run(["g++", *flags, "-fpreprocessed", "-x", "c++", "-c", str(prepared), "-o", str(compiled)])
        # Not linked with libtsan: the worker defines the functions that the instrumentation calls.
        sanitizers = _KERNEL[variant] if variant == "asan" else []
        _run(["g++", *sanitizers, "-shared", str(compiled), "-o", str(out)])

    return cached(f"{cu.stem}-{variant}", digest, make)


def _preprocessed(cu: Path) -> str:
    command = [
        "g++", "-std=c++17", "-E", "-x", "c++", "-I", str(INCLUDE), "-I", str(RUNTIME),
        "-include", "cuda.h", str(cu),
    ]  # fmt: skip
    return _run(command).stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompileFailed(done.stderr)
    return done


def cached(name: str, digest: str, make: Callable[[Path], object]) -> Path:
    """Path of a cached file, built if missing. A lock keeps two processes from building it at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    done = CACHE / f"{name}-{digest}.so"
    if done.exists():
        return done
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            for old in CACHE.glob(f"{name}-????????????????.so"):
                old.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                out = Path(folder) / done.name
                make(out)
                out.replace(done)
    return done


def contents_of(files: tuple[Path, ...]) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in files}


@functools.cache
def _runtime() -> dict[str, bytes]:
    here = Path(__file__)
    return contents_of((*sorted(RUNTIME.iterdir()), here, here.with_name("source.py")))


@functools.cache
def _compiler() -> str:
    return platform.machine() + _run(["g++", "--version"]).stdout


def digest_of(flags: list[str], contents: dict[str, bytes]) -> str:
    """Of the compiler, its flags and all files that it reads."""
    digest = hashlib.sha256(repr((_compiler(), flags)).encode())
    for name, content in contents.items():
        digest.update(repr((name, len(content))).encode())
        digest.update(content)
    return digest.hexdigest()[:16]
