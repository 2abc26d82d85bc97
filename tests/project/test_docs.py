"""The Python that the documents show is run, as it stands there, against a real server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.large.source import Window
from tests.service.command import called
from tests.service.harness import RunningServer, running_server
from tests.service.images import made_from

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
ADDRESS = "127.0.0.1:50051"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the documents' programs run: beside the examples, free to write."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(document: str, server: RunningServer, *, together: bool = False) -> list[dict[str, Any]]:
    """Run the document's programs, each by itself or all as one; the names that each leaves."""
    text = (ROOT / document).read_text()
    namespaces: list[dict[str, Any]] = []
    for match in PYTHON.finditer(text):
        line = text.count("\n", 0, match.start(1))
        source = "\n" * line + match[1].replace(ADDRESS, server.listen)
        namespace = namespaces[-1] if together and namespaces else {"__name__": "__main__"}
        exec(compile(source, document, "exec"), namespace)
        namespaces.append(namespace)
    return namespaces


def photo() -> np.ndarray:
    return np.asarray(Image.open(PHOTO))


@pytest.mark.usefixtures("folder")
def test_getting_started(server: RunningServer) -> None:
    by_server, in_process = run("docs/getting-started.md", server)
    expected = kernels.segment(photo())
    assert np.array_equal(by_server["result"].labels, expected.cut(1600))
    assert np.array_equal(in_process["labels"], expected.cut(400))
    assert in_process["data"] == expected.encode(1600, include_hierarchy=True)
    provenance = made_from(PHOTO.read_bytes(), 512, 512)
    data = in_process["hierarchy"].encode(1600, include_hierarchy=True, provenance=provenance)
    assert data == by_server["result"].spx


@pytest.mark.usefixtures("folder")
def test_superpixels_in_python(server: RunningServer) -> None:
    names = run("docs/library.md", server, together=True)[-1]
    hierarchy = kernels.segment(names["image"])
    assert np.array_equal(hierarchy.cut(400), names["labels"])
    assert set(np.unique(names["inside"])) == set(range(101))
    assert names["graph"].number_of_edges() == len(names["borders"].pairs)
    assert len(names["ranked"]) == 50
    assert set(np.unique(names["found"].labels)) == {0, 1, 2}
    assert names["mask"][140, 290]


@pytest.mark.usefixtures("folder")
def test_concepts(server: RunningServer) -> None:
    """Each program of that page goes on where the one before ended; what it says of the photograph holds."""
    names = run("docs/concepts.md", server, together=True)[-1]
    assert names["image"].shape == (400, 600, 3)
    touching = {int(b) for a, b in zip(*_sides(names["hierarchy"].cut(60)), strict=True) if a == 12}
    assert set(names["larger"]) == {label for label in touching if label > 12} != set()
    assert set(names["smaller"]) == {label for label in touching if label < 12} != set()
    # "takes 15 kB here"
    assert round(len(names["hierarchy"].encode(1600, include_hierarchy=True)) / 1000) == 15


def _sides(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels on both sides of each side of a pixel, both ways round, where they differ."""
    pairs = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    a = np.concatenate([side.ravel() for first, second in pairs for side in (first, second)])
    b = np.concatenate([side.ravel() for first, second in pairs for side in (second, first)])
    return a[a != b], b[a != b]


def test_every_document_with_python_is_run() -> None:
    documents = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
        if PYTHON.search(path.read_text())
    }
    assert documents == {
        "docs/clients.md",
        "docs/concepts.md",
        "docs/data-sets.md",
        "docs/getting-started.md",
        "docs/large-images.md",
        "docs/library.md",
        "docs/smart-select.md",
        "docs/stores.md",
    }


@pytest.mark.usefixtures("folder")
def test_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bulk", "examples/photos", "--out", "label-maps", "--format", "shards", "--counts", 400)
    assert called(capsys, *arguments).returncode == 0
    # The second program needs a bucket and a Ray cluster; tests/service/test_ray.py runs it.
    program, _ = PYTHON.findall((ROOT / "docs/data-sets.md").read_text())
    namespace: dict[str, Any] = {}
    exec(program, namespace)
    with Image.open(ROOT / "examples" / "photos" / namespace["row"]["key"]) as opened:
        expected = kernels.segment(np.asarray(opened))
    assert np.array_equal(namespace["label_map"].labels, expected.cut(400))


@pytest.mark.usefixtures("folder")
def test_stores(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("large", "examples/photos/coffee.jpg", "--out", "coffee.zarr")
    assert called(capsys, *arguments).returncode == 0
    with running_server("--stores=.") as server:
        names, served = run("docs/stores.md", server)
    assert (served["window"].count, served["window"].labels.shape) == (400, (200, 300))
    image = names["store"].pixels(Window(0, 0, 600, 400))
    # GDAL's JPEG decoder is another one than Pillow's.
    photo = np.asarray(Image.open(ROOT / "examples" / "photos" / "coffee.jpg"))
    assert np.abs(image.astype(int) - photo).mean() < 2
    cut = kernels.segment(image).cut(400)[100:300, 300:556]
    assert np.array_equal(names["ids"] == names["ids"][0, 0], cut == cut[0, 0])


@pytest.mark.usefixtures("folder")
def test_large_images(server: RunningServer) -> None:
    names = run("docs/large-images.md", server, together=True)[-1]
    image, wide = names["image"], names["wide"]
    expected = kernels.segment(np.concatenate([image, image[:, ::-1]], axis=1))
    assert np.array_equal(wide.cut(100), expected.cut(100))


@pytest.mark.usefixtures("folder")
def test_smart_select(server: RunningServer) -> None:
    (names,) = run("docs/smart-select.md", server)
    assert names["mask"][110, 225]
    assert not names["mask"].all()


def test_clients(server: RunningServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *programs = run("docs/clients.md", server)
    expected = kernels.segment(photo())
    assert np.array_equal(first["result"].labels_at(400), expected.cut(400))
    assert np.array_equal(codec.decode((folder / "astronaut.spx").read_bytes()).labels, expected.cut(1600))
    mask = np.asarray(Image.open(folder / "mask.png"))
    names = next(names for names in programs if "annotation" in names)
    level = expected.cut(400)
    assert np.array_equal(mask, np.isin(level, names["face"]) + 2 * np.isin(level, names["suit"]))
    _check_face_and_suit(mask)
    assert level[120, 222] == 70  # as a comment there says
    assert capsys.readouterr().out.splitlines() == [
        f"<Segmentation 512x512, counts 400, {_bytes(expected, 400, (0, 0))} bytes>"
        f" <Segmentation 120x160, counts 50, {_part_bytes()} bytes>",
        f"astronaut <Segmentation 512x512, counts 1600, {len(first['result'].spx)} bytes>",
        "COUNT_OUT_OF_RANGE target_counts[0]",
        "100",
    ]


def _check_face_and_suit(mask: np.ndarray) -> None:
    """Class 1 lies on the astronaut's face and covers its middle; class 2 lies on the orange of the suit."""
    face = mask == 1
    assert face[80:180, 180:262].sum() == face.sum()
    assert face[100:160, 210:235].mean() > 0.95
    red, green, blue = np.moveaxis(photo()[mask == 2].astype(int), -1, 0)
    assert ((red > green + 60) & (green > blue)).mean() > 0.95


def _part_bytes() -> int:
    part = np.ascontiguousarray(photo()[20:180, 180:300])
    return _bytes(kernels.segment(part), 50, (180, 20))


def _bytes(hierarchy: kernels.Hierarchy, count: int, position: tuple[int, int]) -> int:
    provenance = made_from(PHOTO.read_bytes(), 512, 512, position=position)
    return len(hierarchy.encode(count, include_hierarchy=True, provenance=provenance))
