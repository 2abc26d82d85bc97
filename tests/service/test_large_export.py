"""`superpixel large` and its exports, as users start them; other libraries read what they write."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import zarr
from numpy.typing import NDArray

from superpixel_kernels import segment
from superpixel_service.cli import main
from superpixel_service.client.classes import Class, Instance
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.selection import read_selection, write_selection
from superpixel_service.large.source import Window
from superpixel_service.large.store import Store
from tests.service.large_files import TRANSFORM, smooth, write_geotiff

HEIGHT, WIDTH = 300, 420
CLASSES = (Class("roof", "#ff0000", 7), Class("road", "#00ff00"))


def superpixel(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_geotiff(folder / "scene.tif", smooth(HEIGHT, WIDTH), photometric="RGB")
    np.save(folder / "gray.npy", smooth(HEIGHT, WIDTH, 1)[:, :, 0])
    status = superpixel(
        "large", folder / "scene.tif", "--out", folder / "s.zarr", "--counts", 40, "--tile", 96
    )
    assert status == 0
    return folder


@pytest.fixture(scope="module")
def cut() -> NDArray[np.int32]:
    return segment(smooth(HEIGHT, WIDTH)).cut(40)


@pytest.fixture(scope="module")
def selection(folder: Path) -> Path:
    store = Store(str(folder / "s.zarr"))
    ids = store.regions_at(40).ids.tolist()
    text = write_selection(
        store.info,
        CLASSES,
        {ids[0]: 1, ids[5]: 1, ids[9]: 2, ids[20]: 256, ids[21]: 256, ids[33]: 257},
        objects=(Instance(1, "house"), Instance(2)),
        pixels=((10, 100, 50, 2), (299, 0, 20, 256), (10, 110, 3, 0), (128, 100, 60, 1)),
    )
    (folder / "selection.json").write_text(text)
    return folder / "selection.json"


def values_of(cut: NDArray[np.int32]) -> NDArray[np.int64]:
    table = np.zeros(40, np.int64)
    table[[0, 5, 9, 20, 21, 33]] = [1, 1, 2, 256, 256, 257]
    values = table[cut]
    values[10, 100:150] = 2
    values[299, :20] = 256
    values[128, 100:160] = 1
    values[10, 110:113] = 0
    return values


def test_labels_of_a_count_as_cog(folder: Path, cut: NDArray[np.int32]) -> None:
    assert superpixel("large", "export", folder / "s.zarr", "--count", 40, "--format", "geotiff",
                      "--out", folder / "labels.tif") == 0  # fmt: skip
    with rasterio.open(folder / "labels.tif") as file:
        assert np.array_equal(file.read(1), cut + 1)
        assert file.nodata == 0
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == TRANSFORM
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.dtypes == ("uint32",)


def test_a_selection_as_cog(folder: Path, selection: Path, cut: NDArray[np.int32]) -> None:
    assert superpixel("large", "export", folder / "s.zarr", "--selection", selection, "--format", "geotiff",
                      "--out", folder / "classes.tif") == 0  # fmt: skip
    values = values_of(cut)
    class_of = np.array([0, 1, 2, *[0] * 253, 1, 2])
    with rasterio.open(folder / "classes.tif") as file:
        assert file.descriptions == ("class", "object")
        assert np.array_equal(file.read(1), class_of[values])
        assert np.array_equal(file.read(2), np.where(values >= 256, values - 255, 0))


def painted(path: Path, column: str) -> NDArray[np.int64]:
    """The outlines drawn on the pixels of the image, by GDAL."""
    import rasterio.features

    meta, _, geometry, fields = pyogrio.raw.read(path)
    values = fields[list(meta["fields"]).index(column)]
    transform = rasterio.Affine(*TRANSFORM)
    shapes = [(shapely.from_wkb(each), int(value)) for each, value in zip(geometry, values, strict=True)]
    assert all(shapely.is_valid(shape) for shape, _ in shapes)
    drawn: NDArray[np.int64] = rasterio.features.rasterize(
        shapes, (HEIGHT, WIDTH), transform=transform, dtype=np.int32
    )
    return drawn


def test_outlines_of_a_count(folder: Path, cut: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superpixel_service.large.writer.SHARD", 128)  # outlines go across windows
    path = folder / "outlines.gpkg"
    assert (
        superpixel("large", "export", folder / "s.zarr", "--count", 40, "--format", "gpkg", "--out", path)
        == 0
    )
    assert np.array_equal(painted(path, "superpixel"), cut + 1)
    meta, _, geometry, fields = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32633"
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert columns["superpixel"].tolist() == list(range(1, 41))
    assert columns["pixels"].tolist() == np.bincount(cut.ravel()).tolist()
    areas = shapely.area(shapely.from_wkb(geometry))
    assert np.allclose(areas, columns["pixels"] * 0.25)
    expected = segment(smooth(HEIGHT, WIDTH)).regions(40).mean_color
    assert np.array_equal(columns["mean_green"], expected[:, 1])
    assert np.array_equal(columns["global_id"], Store(str(folder / "s.zarr")).regions_at(40).ids)


def test_outlines_of_a_selection(
    folder: Path, selection: Path, cut: NDArray[np.int32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superpixel_service.large.writer.SHARD", 128)
    path = folder / "classes.gpkg"
    arguments = ("large", "export", folder / "s.zarr", "--selection", selection)
    assert superpixel(*arguments, "--format", "gpkg", "--out", path) == 0
    values = values_of(cut)
    class_of = np.array([0, 1, 2, *[0] * 253, 1, 2])
    assert np.array_equal(painted(path, "class"), class_of[values])
    meta, _, _, fields = pyogrio.raw.read(path)
    columns = dict(zip(meta["fields"], fields, strict=True))
    assert columns["class_name"].tolist() == ["roof", "road", "roof", "road"]
    assert columns["color"].tolist() == ["#ff0000", "#00ff00", "#ff0000", "#00ff00"]
    assert columns["object"].tolist() == [0, 0, 1, 2]
    assert columns["object_name"].tolist() == ["", "", "house", ""]
    geojson = folder / "classes.geojson"
    assert superpixel(*arguments, "--format", "geojson", "--out", geojson) == 0
    found = json.loads(geojson.read_text())
    assert len(found["features"]) == 4
    longitude, latitude = found["features"][0]["geometry"]["coordinates"][0][0][0][:2]
    assert 16 < longitude < 17  # RFC 7946: degrees
    assert 45 < latitude < 46


def test_label_images_in_the_store(folder: Path, cut: NDArray[np.int32], tmp_path: Path) -> None:
    assert superpixel("large", "export", folder / "s.zarr", "--count", 12, "--format", "ome-zarr") == 0
    group = zarr.open_group(folder / "s.zarr", mode="r")
    assert np.array_equal(group["labels/12/0"][:], segment(smooth(HEIGHT, WIDTH)).cut(12) + 1)
    assert group["labels"].attrs["ome"]["labels"] == ["12", "40"]  # type: ignore[index,call-overload]
    store = Store(str(folder / "s.zarr"))
    chosen = tmp_path / "s.json"
    chosen.write_text(write_selection(store.info, CLASSES, {int(store.regions_at(40).ids[7]): 2}))
    arguments = ("large", "export", folder / "s.zarr", "--selection", chosen, "--format", "ome-zarr")
    assert superpixel(*arguments, "--out", "roads") == 0
    assert np.array_equal(group["labels/roads/0"][:], np.where(cut == 7, 2, 0))
    assert superpixel(*arguments, "--out", "roads") == 1
    assert superpixel(*arguments, "--out", "../x") == 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "x"}, "must have"),
        ({"version": 2}, "has version 2"),
        ({"store": None}, "must say its"),
        ({"store": {"width": 1, "height": 1, "base_count": 1}}, "belongs to another store"),
        ({"store": {}}, "belongs to another store"),
        ({"classes": [{"name": "a", "color": "red"}]}, "must be #rrggbb"),
        ({"classes": 5}, "classes or objects"),
        ({"objects": [{"class": 9}]}, "classes or objects"),
        ({"regions": 5}, "regions: must be a list"),
        ({"regions": [[1]]}, "regions: each must be 2 whole numbers"),
        ({"regions": [[True, 1]]}, "regions: each must be 2 whole numbers"),
        ({"regions": [[10**9, 1]]}, "region 1000000000: the store has"),
        ({"regions": [[1, 3]]}, "the value 3 is no class and no object"),
        ({"regions": [[1, 255]]}, "the value 255 is no class"),
        ({"pixels": [[0, 0, 1, 300]]}, "the value 300 is no class"),
        ({"pixels": [[0, 400, 21, 1]]}, "leaves the image"),
        ({"pixels": [[-1, 0, 1, 1]]}, "leaves the image"),
    ],
)
def test_selections_that_are_rejected(folder: Path, selection: Path, change: Any, text: str) -> None:
    store = Store(str(folder / "s.zarr"))
    data = {**json.loads(selection.read_text()), **change}
    with pytest.raises(LargeFailed, match=text):
        read_selection(json.dumps(data), store)


def test_a_region_and_its_parts(folder: Path) -> None:
    store = Store(str(folder / "s.zarr"))
    whole = store.info.base_count * 2 - 2
    part = int(store.regions_at(40).ids[3])
    text = write_selection(store.info, CLASSES, {whole: 1, part: 2})
    values = read_selection(text, store).values(store, Window(0, 0, WIDTH, HEIGHT))
    assert np.array_equal(values == 2, store.nodes(Window(0, 0, WIDTH, HEIGHT), 40) == part)
    assert np.array_equal(values == 1, values != 2)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["missing.tif"], 1, "missing.tif: no such file or directory"),
        (["scene.tif", "--bands", "4"], 2, "there is no band 4; the image has bands 1 to 3"),
        (["scene.tif", "--range", "9"], 2, "range: must be LOW,HIGH"),
        (["scene.tif", "--tile", "9000"], 2, "tile: must be an integer from 1 to 8192"),
        (["scene.tif", "--mask", "missing.png"], 1, "missing.png: no such file or directory"),
        (["scene.tif", "--nodata", "nan", "--range", "1,2", "--level", "3"], 2, "--level must be 0"),
        (["scene.tif", "--edges", "scene.tif"], 2, "edges: scene.tif must have one band, has 3"),
        (
            ["scene.tif", "--mask", "gray.npy", "--prior", "gray.npy"],
            2,
            "cannot be combined with a soft prior",
        ),
    ],
)
def test_arguments_that_are_wrong(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    text: str,
) -> None:
    monkeypatch.chdir(folder)
    assert superpixel("large", *arguments, "--out", "other.zarr") == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert text in lines[0]


def test_a_dry_run_makes_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert superpixel("large", folder / "scene.tif", "--out", tmp_path / "x.zarr", "--dry-run") == 0
    table = capsys.readouterr().out
    for text in ("420 x 300", "rasterio", "3 bands of uint8", "memory, about", "time, about", "coordinates"):
        assert text in table
    assert not (tmp_path / "x.zarr").exists()


def test_more_label_images_need_no_new_run(folder: Path, tmp_path: Path) -> None:
    arguments = ("large", folder / "scene.tif", "--out", tmp_path / "x.zarr")
    assert superpixel(*arguments, "--counts", 30) == 0
    (tmp_path / "x.zarr" / "base" / "0" / "c" / "0" / "0").touch()
    assert superpixel(*arguments, "--counts", 30, 20) == 0
    assert Store(str(tmp_path / "x.zarr")).info.counts == (30, 20)
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    assert int(np.asarray(group["labels/20/0"][:]).max()) == 20


def test_guidance_and_a_mask(tmp_path: Path) -> None:
    image = smooth(100, 120)
    np.save(tmp_path / "a.npy", image)
    prior = np.zeros((100, 120), np.uint8)
    prior[30:70, 40:90] = 3
    np.save(tmp_path / "prior.npy", prior)
    mask = np.ones((100, 120), np.uint8)
    mask[:, 100:] = 0
    np.save(tmp_path / "mask.npy", mask)
    prior_file, mask_file = tmp_path / "prior.npy", tmp_path / "mask.npy"
    assert superpixel("large", tmp_path / "a.npy", "--out", tmp_path / "a.zarr", "--prior", prior_file,
                      "--prior-mode", "hard", "--mask", mask_file, "--counts", 2) == 0  # fmt: skip
    labels = np.asarray(zarr.open_group(tmp_path / "a.zarr", mode="r")["labels/2/0"][:])
    assert np.array_equal(labels, np.where(mask == 0, 0, np.where(prior == 3, 2, 1)))
    np.save(tmp_path / "float.npy", np.zeros((100, 120), np.float32))
    assert (
        superpixel(
            "large", tmp_path / "a.npy", "--out", tmp_path / "b.zarr", "--edges", tmp_path / "float.npy"
        )
        == 2
    )


def test_a_run_that_is_killed_continues(tmp_path: Path) -> None:
    image = smooth(900, 1400)
    np.save(tmp_path / "a.npy", image)
    command = [sys.executable, "-m", "superpixel_service", "large", str(tmp_path / "a.npy"), "--tile", "128"]
    command += ["--threads", "1", "--out", str(tmp_path / "a.zarr")]
    process = subprocess.Popen(command)
    engine = tmp_path / "a.zarr" / ".work" / "engine" / "labels"
    while process.poll() is None and not (engine.is_dir() and any(engine.iterdir())):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(LargeFailed, match="is half written"):
        Store(str(tmp_path / "a.zarr"))
    assert subprocess.run(command, check=False).returncode == 0
    base = Store(str(tmp_path / "a.zarr")).base(Window(0, 0, 1400, 900))
    assert np.array_equal(base, segment(image).base_labels)
