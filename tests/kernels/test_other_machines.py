"""The same bits on machines this one is not, under emulation: arm64, and x86-64 without AVX2."""

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from superpixel_kernels import Guidance
from tests.kernels import golden, golden_guidance
from tests.kernels.cuda_sim import build

KERNELS = Path(__file__).parents[2] / "kernels" / "superpixel_kernels"
ROWS = [row for row in golden.ROWS if row.width * row.height < 200_000]


def tool(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is missing: run `make system-packages`"
    return path


@pytest.fixture(scope="module")
def arm64_engine() -> Path:
    """The engine's sources without Python, built for arm64 with warnings as errors."""
    compiler = tool("aarch64-linux-gnu-g++")
    sources = [
        p
        for p in sorted((KERNELS / "cpu").glob("*.cpp"))
        if p.stem not in ("module", "tile_module", "simd_avx2")
    ]
    assert len(sources) >= 8
    sources.append(Path(__file__).with_name("emulated_main.cpp"))
    command = [
        compiler, "-std=c++20", "-O2", "-static", "-pthread",
        "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror",
        "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
        f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'cpu'}", *map(str, sources),
    ]  # fmt: skip
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout
    headers = sorted([*(KERNELS / "cpu").glob("*.h"), *(KERNELS / "include").rglob("*.h")])
    digest = build.digest_of([*command, version], build.contents_of((*sources, *headers)))
    return build.cached(
        "engine-arm64", digest, lambda out: subprocess.run([*command, "-o", str(out)], check=True)
    )


@pytest.mark.unsanitized
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_arm64_gives_the_golden_values(arm64_engine: Path, row: golden.Row) -> None:
    arguments = [str(row.width), str(row.height), repr(row.compactness)]
    run = subprocess.run(
        [tool("qemu-aarch64"), str(arm64_engine), *arguments],
        input=row.pixels().tobytes(),
        capture_output=True,
        check=True,
    )
    label_bytes = 4 * row.width * row.height
    assert zlib.crc32(run.stdout[:label_bytes]) == row.base
    assert zlib.crc32(run.stdout[label_bytes:]) == row.merges


GUIDED_ROWS = [
    row for row in golden_guidance.ROWS if row.width == 60 or row.name in ("all hard", "hard hash")
]


@pytest.mark.unsanitized
@pytest.mark.parametrize("row", GUIDED_ROWS, ids=str)
def test_arm64_gives_the_golden_values_of_guidance(arm64_engine: Path, row: golden_guidance.Row) -> None:
    fitted = Guidance(**row.guidance()).fitted(row.height, row.width)
    maps = {"e": fitted.edges, "p": fitted.prior, "v": fitted.importance}
    present = {letter: values for letter, values in maps.items() if values is not None}
    weights = [fitted.edge_weight, fitted.prior_weight, int(fitted.is_hard)]
    arguments = [*map(str, [row.width, row.height, 10.0, *weights]), "".join(present)]
    run = subprocess.run(
        [tool("qemu-aarch64"), str(arm64_engine), *arguments],
        input=row.pixels().tobytes() + b"".join(values.tobytes() for values in present.values()),
        capture_output=True,
        check=True,
    )
    label_bytes = 4 * row.width * row.height
    assert zlib.crc32(run.stdout[:label_bytes]) == row.base
    assert zlib.crc32(run.stdout[label_bytes:]) == row.merges


@pytest.mark.unsanitized
def test_a_machine_without_avx2_runs_the_plain_path() -> None:
    """The built module itself, on an emulated processor that stops at any AVX instruction."""
    row = ROWS[0]
    program = f"""
import zlib
from superpixel_kernels import SegmentParams, available_instruction_sets, segment
from tests.kernels import golden
from tests.kernels.cuda_sim import build
assert available_instruction_sets() == ["plain"], available_instruction_sets()
row = golden.ROWS[{golden.ROWS.index(row)}]
hierarchy = segment(row.pixels(), SegmentParams(row.compactness))
assert zlib.crc32(hierarchy.base_labels.tobytes()) == row.base
assert zlib.crc32(hierarchy.merges.tobytes()) == row.merges
blob = hierarchy.encode(200, include_hierarchy=True)
from superpixel_kernels import codec
assert (codec.decode(blob).labels == hierarchy.cut(200)).all()
"""
    # NumPy chooses for the emulated processor, whatever a variable says of this one.
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    command = [tool("qemu-x86_64"), "-cpu", "Nehalem", sys.executable, "-c", program]
    subprocess.run(command, check=True, env=environment)
