"""Compiles .cu files for real GPUs, by NVRTC and by nvcc, and reads what came out. Needs no GPU."""

import functools
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cuda.bindings import nvrtc

from tests.kernels.cuda_sim import build

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)


class CompileFailed(Exception):
    """The compiler's words."""


@dataclass(frozen=True)
class Compiled:
    """What a compiler made of a file: PTX ("" where none was asked for), and its log with ptxas' report."""

    ptx: str
    log: str

    def spills(self) -> list[str]:
        """Of each kernel that keeps registers in memory: its name, architecture and bytes."""
        found = []
        entry = "?"
        for line in self.log.splitlines():
            if (match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line)) is not None:
                entry = f"{match[1]} on {match[2]}"
            for stores, loads in re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
                if int(stores) or int(loads):
                    found.append(f"{entry}: {stores} bytes spill stores, {loads} bytes spill loads")
        return found

    def entries(self) -> dict[str, list[str]]:
        """Each kernel's parameters as PTX has them: u64 (pointers too), u32, f64, ..."""
        return {
            match[1]: re.findall(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)", match[2])
            for match in re.finditer(r"\.entry\s+(\w+)\s*\(([^)]*)\)", self.ptx)
        }

    def inexact(self) -> list[str]:
        """Lines of PTX that do not round as IEEE 754 says: contracted, approximate, flushing denormals."""
        pattern = re.compile(r"\b(?:fma|mad)\.[\w.]*f(?:32|64)|\.(?:approx|ftz)\b|\bdiv\.full\.")
        return [line.strip() for line in self.ptx.splitlines() if pattern.search(line)]


def by_nvrtc(file: Path, architecture: int, options: Sequence[str] = ("--fmad=false",)) -> Compiled:
    """By NVRTC, to PTX and machine code.

    Raises:
        CompileFailed: an error, or a warning.
    """
    flags = [
        f"--gpu-architecture=sm_{architecture}", "--std=c++17", "--ptxas-options=-v", *options,
        f"--include-path={build.INCLUDE}", f"--include-path={file.parent}",
    ]  # fmt: skip
    return _cached(f"{nvrtc.nvrtcVersion()} {flags}", file, lambda: _nvrtc(file, flags))


def _nvrtc(file: Path, flags: Sequence[str]) -> Compiled:
    status, program = nvrtc.nvrtcCreateProgram(file.read_bytes(), file.name.encode(), 0, [], [])
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, status
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS or re.search(r"\b(warning|error)\b", log):
            raise CompileFailed(log)
        return Compiled(_text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX), log)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _text(program, size_of, get) -> str:
    _, size = size_of(program)
    text = b" " * size
    get(program, text)
    return text.decode().rstrip("\0 ")


def by_nvcc(file: Path, architectures: Sequence[int] = ARCHITECTURES) -> Compiled:
    """By nvcc, to machine code for all architectures at once.

    Raises:
        CompileFailed: an error, or a warning.
    """
    nvcc = find_nvcc()
    flags = [
        "-fatbin", "-std=c++17", "--fmad=false", "--Werror", "all-warnings", "-t", "2",
        "-Xptxas", "-v,-warn-spills,--warning-as-error", "-I", str(build.INCLUDE), "-I", str(file.parent),
        *(f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures),
    ]  # fmt: skip

    def compile_it() -> Compiled:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(nvcc), *flags, str(file), "-o", f"{folder}/out.fatbin"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CompileFailed(done.stdout + done.stderr)
        return Compiled("", done.stdout + done.stderr)

    return _cached(f"{_version(nvcc)} {flags}", file, compile_it)


def find_nvcc() -> Path:
    """On the PATH, or from the package nvidia-cuda-nvcc."""
    if (found := shutil.which("nvcc")) is not None:
        return Path(found)
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for nvcc in sorted(Path(folder).glob("*/bin/nvcc")):
            return nvcc
    raise FileNotFoundError(
        "nvcc is neither on the PATH nor in the package nvidia-cuda-nvcc: run `make install`"
    )


@functools.cache
def _version(nvcc: Path) -> str:
    return subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout


def _cached(options: str, file: Path, compile_it) -> Compiled:
    digest = hashlib.sha256(repr((options, Path(__file__).read_bytes())).encode())
    for source in (file, *sorted([*file.parent.glob("*.cuh"), *build.INCLUDE.rglob("*.h")])):
        digest.update(repr((source.name, source.read_bytes())).encode())
    build.CACHE.mkdir(parents=True, exist_ok=True)
    kept = build.CACHE / f"{file.stem}-{digest.hexdigest()[:16]}.json"
    if kept.exists():
        return Compiled(**json.loads(kept.read_text()))
    compiled = compile_it()
    with tempfile.NamedTemporaryFile("w", dir=build.CACHE, delete=False) as partial:
        json.dump(asdict(compiled), partial)
    Path(partial.name).replace(kept)
    return compiled
