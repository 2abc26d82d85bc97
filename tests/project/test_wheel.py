"""The wheel: what is in it, and that it works away from the sources."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import superpixel_kernels
import superpixel_service

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # With the settings of `make install`, whose objects are in the same folder and need not be built again.
    settings = "--config-setting=cmake.define.SUPERPIXEL_WERROR=ON"
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        settings,
        "--outdir",
        str(out),
        str(ROOT),
    ]
    # The native build is found by its tools' names.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(build, check=True, capture_output=True, env={**os.environ, "PATH": path})
    (built,) = out.glob("*.whl")
    return built


def test_this_suite_runs_against_the_installed_package() -> None:
    for package in (superpixel_kernels, superpixel_service):
        assert "site-packages" in Path(package.__file__).parts, package.__file__


def test_wheel_holds_what_users_need_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"superpixel_kernels/py.typed", "superpixel_service/py.typed"} <= names
    assert {"superpixel_kernels/include/superpixel/merge.h", "superpixel_kernels/cpu/_engine.pyi"} <= names
    assert {"superpixel_kernels/cuda/merge.cu", "superpixel_kernels/cuda/device.cuh"} <= names
    static = "superpixel_service/web/static"
    served = (
        "page/index.html",
        "page/third_party/geotiff.js",
        "src/index.js",
        "src/smart/weights.json",
        "samples/coffee.jpg",
    )
    assert {f"{static}/{file}" for file in served} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    for licence in ("third_party/zlib/LICENSE", "frontend/page/third_party/LICENSE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names)
    assert not [name for name in names if name.startswith("superpixel_kernels/wasm")]
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "superpixel_kernels",
        "superpixel_service",
    }
    assert not [name for name in names if name.endswith((".cpp", ".o", ".a", ".pyc"))]


def test_wheel_works_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    program = """
import numpy as np
import superpixel_kernels, superpixel_service
from superpixel_kernels import codec, segment
from superpixel_service.pb.superpixel.v1 import superpixel_pb2
hierarchy = segment(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3))
label_map = codec.decode(hierarchy.encode(20, include_hierarchy=True))
assert (label_map.labels_at(5) == hierarchy.cut(5)).all()
assert superpixel_pb2.DESCRIPTOR.name == "superpixel/v1/superpixel.proto"
print(superpixel_kernels.__file__, superpixel_service.__file__)
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert all(Path(path).is_relative_to(site) for path in run.stdout.split())

    version = [sys.executable, "-P", "-m", "superpixel_service", "--version"]
    run = subprocess.run(version, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("superpixel ")
