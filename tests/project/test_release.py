"""What `make release` makes: each package is installed in a fresh environment, and used there."""

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools.release import client, find_python, materials, pythons

from superpixel_kernels import codec, segment
from superpixel_service import __version__
from tests.kernels import golden
from tests.project.test_rooms import imported_modules
from tests.service.harness import RunningServer, running_server

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
ARM64 = 183  # EM_AARCH64
PYTHONS = [found for minor in (11, 12, 13, 14) if (found := find_python(f"3.{minor}")) is not None]


def test_only_permissive_licences_are_allowed() -> None:
    for fine in ("MIT", "BSD-3-Clause AND 0BSD AND (MIT OR Zlib)", "Apache Software License; MIT License"):
        assert materials.refused({"package": fine}) == []
    for wrong in ("GPL-3.0-only", "MIT AND LGPL-2.1", "UNKNOWN", ""):
        (line,) = materials.refused({"package": wrong})
        assert line.startswith("package: the licence")
    assert materials.refused({"shtab": "MPL-2.0"}) == []
    assert materials.refused({"other": "MPL-2.0"})


def test_the_clients_files_need_no_others() -> None:
    sources = {"superpixel_service": ROOT / "service", "superpixel_kernels": ROOT / "kernels"}
    on_demand = {"superpixel_service.in_process", "superpixel_service.in_process.segment_file"}
    files = [
        file
        for package, folder in sources.items()
        for file in sorted((folder / package).rglob("*.py"))
        if str(file.relative_to(folder)).startswith(client.PARTS)
    ]
    assert len(files) > 50
    for file in files:
        for module in set(imported_modules(file)) - on_demand:
            package, *rest = module.split(".")
            folder = sources.get(package)
            if folder is None or not rest:
                continue
            path = folder.joinpath(package, *rest)
            found = path.with_suffix(".py") if path.with_suffix(".py").exists() else path
            if not found.exists():  # a name in a module, which is imported too
                continue
            inside = f"{found.relative_to(folder)}{'/' if found.is_dir() else ''}"
            assert inside.startswith(client.PARTS), f"{file} imports {module}, which the client does not have"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make release` makes; SUPERPIXEL_TEST_DIST names a folder that it has made already."""
    if "SUPERPIXEL_TEST_DIST" in os.environ:
        return Path(os.environ["SUPERPIXEL_TEST_DIST"])
    out = tmp_path_factory.mktemp("release")
    flags = [f"DIST={out}", "WHEEL_FLAGS=--arch x86_64 --arch aarch64"]
    # Not under the make that runs this test.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--directory", ROOT, "-o", ".venv/.package", "release", *flags],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return out


def fresh(folder: Path, python: str, *packages: object) -> Path:
    """A fresh environment with these packages; its interpreter."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    found = folder / "bin" / "python"
    subprocess.run([found, "-m", "pip", "install", "--quiet", *map(str, packages)], check=True)
    return found


def used(python: Path, program: str, folder: Path, *arguments: object) -> str:
    """The output of a program, away from the sources."""
    done = subprocess.run(
        [python, "-P", "-c", program, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wheel_for(dist: Path, name: str, python: str, arch: str = "x86_64") -> Path:
    old = python.endswith("3.11")
    (found,) = dist.glob(
        f"{name}-{__version__}-{'cp311-cp311' if old else 'cp312-abi3'}-manylinux*_{arch}.whl"
    )
    return found


@pytest.mark.slow
def test_all_files_are_there_and_have_their_sums(dist: Path) -> None:
    names = {path.name for path in dist.iterdir()}
    assert {"superpixel-map.cdx.json", "superpixel-service.cdx.json", "superpixel-client.cdx.json"} < names
    assert f"superpixel-map-{__version__}.tgz" in names
    assert len([name for name in names if name.endswith(".whl")]) == 8
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True, capture_output=True
    )


@pytest.mark.slow
def test_wheels_need_no_newer_system_than_their_tag_says(dist: Path) -> None:
    for wheel in dist.glob("*.whl"):
        glibc = re.search(r"manylinux_2_(\d+)_", wheel.name)
        assert glibc is not None
        assert int(glibc[1]) <= 34, wheel  # RHEL 9, Ubuntu 22.04, Debian 12
        with zipfile.ZipFile(wheel) as archive:
            modules = [name for name in archive.namelist() if name.endswith(".so")]
            assert modules
            for name in modules:
                machine = int.from_bytes(archive.read(name)[18:20], "little")
                assert (machine == ARM64) == ("aarch64" in wheel.name), name
                assert ("x86_64" in name) is (wheel.name.endswith("x86_64.whl") and "cp311" in wheel.name)


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_the_service_is_installed_and_segments(dist: Path, tmp_path: Path, python: str) -> None:
    installed = fresh(tmp_path / "environment", python, wheel_for(dist, "superpixel_service", python))
    program = """
import sys
from pathlib import Path
from superpixel_service import segment_file
Path("out.spx").write_bytes(segment_file(Path(sys.argv[1]).read_bytes(), counts=[900]).spx)
"""
    used(installed, program, tmp_path, PHOTO)
    expected = segment(np.asarray(Image.open(PHOTO)))
    label_map = codec.decode((tmp_path / "out.spx").read_bytes())
    for count in (900, 50):
        assert np.array_equal(label_map.labels_at(count), expected.cut(count))
    done = subprocess.run(
        [installed.with_name("superpixel"), "info", "--json"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["version"] == __version__


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons.PYTHONS, ids=str)
def test_the_wheels_give_the_golden_labels_elsewhere(
    dist: Path, tmp_path: Path, python: pythons.Python
) -> None:
    row = golden.ROWS[0]
    np.save(tmp_path / "pixels.npy", row.pixels())
    assert pythons.segment(python, dist.resolve(), tmp_path, tmp_path / "pixels.npy") == row.base


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


CLIENT = """
import importlib, pkgutil, sys
from importlib.resources import files
import numpy as np
import superpixel_service, superpixel_service.client
from superpixel_service.client import Client, exports
from superpixel_service.client.smart import SmartSelect

for module in pkgutil.walk_packages(superpixel_service.client.__path__, "superpixel_service.client."):
    importlib.import_module(module.name)
assert superpixel_service.__version__ == sys.argv[3]
with Client(sys.argv[1]) as client:
    result = client.segment(sys.argv[2], counts=900, include_regions=True)
smart = SmartSelect(result, 900)
smart.click(225, 110)
smart.accept()
annotation = exports.Annotation.of_regions(
    result, 900, {exports.Class("cat", "#e6194b"): smart.chosen.tolist()}
)
assert exports.to_indexed_png(annotation)
contract = files("superpixel_service") / "protos" / "superpixel" / "v1" / "superpixel.proto"
assert "service SuperpixelService" in contract.read_text()
try:
    from superpixel_service import segment_file
except ImportError as error:
    assert "superpixel-service" in str(error)
else:
    raise AssertionError
try:
    import superpixel_kernels
    superpixel_kernels.segment
except AttributeError as error:
    assert "superpixel-service" in str(error)
else:
    raise AssertionError
for name in ("pydantic", "structlog", "simplejpeg", "prometheus_client", "starlette"):
    assert importlib.util.find_spec(name) is None, name
np.save("labels.npy", result.labels)
"""


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_the_client_is_light_and_calls_a_server(
    dist: Path, tmp_path: Path, server: RunningServer, python: str
) -> None:
    installed = fresh(tmp_path / "environment", python, wheel_for(dist, "superpixel_client", python))
    used(installed, CLIENT, tmp_path, server.listen, PHOTO, __version__)
    expected = segment(np.asarray(Image.open(PHOTO)))
    assert np.array_equal(np.load(tmp_path / "labels.npy"), expected.cut(900))


@pytest.mark.slow
def test_the_client_beside_the_service_changes_nothing(dist: Path, tmp_path: Path) -> None:
    python = PYTHONS[0]
    both = [wheel_for(dist, name, python) for name in ("superpixel_service", "superpixel_client")]
    installed = fresh(tmp_path / "environment", python, both[0])
    subprocess.run([installed, "-m", "pip", "install", "--quiet", "--no-deps", both[1]], check=True)
    program = """
import numpy as np
import superpixel_kernels
from superpixel_kernels import MAX_THREADS, codec, segment
hierarchy = segment(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3))
assert codec.decode(hierarchy.encode(20)).count == 20
for name in superpixel_kernels.__all__:
    getattr(superpixel_kernels, name)
"""
    used(installed, program, tmp_path)


def test_the_code_of_others_inside_a_wheel_is_listed() -> None:
    listed = {each["name"]: each for each in materials.bundled(has_page=True)}
    assert {"zlib", "geotiff", "pako"} < set(listed)
    assert listed["@petamoriken/float16"]["purl"].startswith("pkg:npm/%40petamoriken/float16@3.")
    lock = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    for name, each in listed.items():
        if name != "zlib":
            assert each["version"] == lock[f"node_modules/{name}"]["version"], "run `node vendor.js`"
    expressions = {name: each["licenses"][0]["expression"] for name, each in listed.items()}
    assert materials.refused(expressions) == []
    assert [each["name"] for each in materials.bundled(has_page=False)] == ["zlib"]
    folders = {path.name for path in (ROOT / "third_party").iterdir() if path.is_dir()}
    assert folders == {"zlib"}, "list the new one in the bills of materials too"


@pytest.mark.slow
def test_bills_of_materials_list_what_is_installed(dist: Path) -> None:
    for name, some, not_these in (
        (
            "superpixel-service",
            {"numpy", "grpcio", "pydantic", "starlette", "zlib", "geotiff"},
            {"cupy-cuda12x"},
        ),
        ("superpixel-client", {"numpy", "grpcio", "pillow", "zlib"}, {"pydantic", "starlette", "geotiff"}),
    ):
        bill = json.loads((dist / f"{name}.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        listed = {component["name"].lower(): component for component in bill["components"]}
        assert some <= set(listed)
        assert not not_these & set(listed)
        assert all(listed[each]["licenses"] for each in some)
        assert all(component["version"] for component in listed.values())
    npm = json.loads((dist / "superpixel-map.cdx.json").read_text())
    assert npm["components"] == []


@pytest.mark.slow
def test_the_npm_tarball_is_installed_and_reads_a_map(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    tarball = dist / f"superpixel-map-{__version__}.tgz"
    subprocess.run(["npm", "install", "--silent", "--offline", str(tarball)], cwd=tmp_path, check=True)
    hierarchy = segment(np.asarray(Image.open(PHOTO)))
    (tmp_path / "map.spx").write_bytes(hierarchy.encode(500, include_hierarchy=True))
    (tmp_path / "use.js").write_text(
        "import { decode } from 'superpixel-map';\nimport { readFileSync } from 'node:fs';\n"
        "const map = await decode(readFileSync('map.spx'));\nconsole.log(map.count, map.cut(7).count);\n"
    )
    done = subprocess.run(["node", "use.js"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["500", "7"]
