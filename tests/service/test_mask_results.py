"""What pixels outside a mask mean for commands, the HTTP API, selections, imports and exports."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec, segment
from superpixel_service.client.classes import Class
from superpixel_service.client.exports import Annotation, to_coco
from superpixel_service.client.imports import import_annotation
from superpixel_service.client.selection import Selection
from tests.service.command import called, messages
from tests.service.guidance_maps import PIXELS
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene
from tests.service.test_mask import GRAY, INSIDE, MASK

HIERARCHY = segment(PIXELS, mask=MASK)
LABEL_MAP = codec.decode(HIERARCHY.encode(80, include_hierarchy=True, include_regions=True))
CLASSES = [Class("cat", "#e6194b"), Class("dog", "#3cb44b")]


# ---- commands


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(encoded(PIXELS))
    (tmp_path / "mask.png").write_bytes(encoded(GRAY))
    return tmp_path


@pytest.mark.parametrize("there", [False, True])
def test_segment_writes_the_map_of_the_mask(
    server: RunningServer, files: Path, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--server", server.listen] if there else []
    run = called(
        capsys,
        "segment",
        files / "photo.png",
        "--mask",
        files / "mask.png",
        "--counts",
        60,
        9,
        "--out",
        files / "out",
        *where,
    )
    assert (run.returncode, run.stderr) == (0, "")
    label_map = codec.decode((files / "out" / "photo.png.spx").read_bytes())
    for count in (60, 9):
        np.testing.assert_array_equal(label_map.labels_at(count), HIERARCHY.cut(count))
    with Image.open(files / "out" / "photo.png-60-mask.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), HIERARCHY.cut(60).astype(np.uint16))
    areas = np.bincount(HIERARCHY.cut(9)[MASK])
    row = run.stdout.splitlines()[1].split()
    assert row[:4] == ["9", *(str(round(each)) for each in (areas.min(), areas.mean(), areas.max()))]
    run = called(capsys, "inspect", "--json", files / "out" / "photo.png.spx")
    facts = json.loads(run.stdout)
    assert facts["pixels_outside"] == MASK.size - INSIDE
    assert [section["section"] for section in facts["sections"]][:2] == ["LABL", "MASK"]


@pytest.mark.parametrize("there", [False, True])
def test_the_default_counts_are_clamped_to_the_pixels_inside(
    server: RunningServer, files: Path, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    small = np.zeros_like(GRAY)
    small[40:50, 20:50] = 1
    (files / "mask.png").write_bytes(encoded(small))
    where = ["--server", server.listen] if there else []
    out = files / "out"
    run = called(capsys, "segment", files / "photo.png", "--mask", files / "mask.png", "--out", out, *where)
    assert (run.returncode, run.stderr) == (0, "")
    label_map = codec.decode((out / "photo.png.spx").read_bytes())
    np.testing.assert_array_equal(label_map.labels, segment(PIXELS, mask=small > 0).cut(300))


@pytest.mark.parametrize(
    ("mask", "text", "status"),
    [
        (None, "no such file", 2),
        (b"no image", "must be a PNG file", 1),
        (encoded(PIXELS), "gray of at most 8 bits", 1),
        (encoded(GRAY[1:]), "must have the size of the image, 120x90, has 120x89", 1),
        (encoded(np.zeros_like(GRAY)), "must have a pixel of the image inside", 1),
        (encoded(GRAY)[:-40], "a complete, undamaged PNG file", 1),
    ],
    ids=["missing", "text", "colour", "size", "empty", "cut off"],
)
def test_a_bad_mask_is_one_line(
    files: Path, mask: bytes | None, text: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files / "bad.png"
    if mask is not None:
        path.write_bytes(mask)
    for counts in ([], ["--counts", 5]):
        run = called(capsys, "segment", files / "photo.png", "--mask", path, *counts, "--out", files / "out")
        (line,) = messages(run)
        assert run.returncode == status
        assert "--mask: " in line
        assert text in line


# ---- selections


def test_a_selection_has_no_class_outside() -> None:
    selection = Selection(LABEL_MAP, CLASSES)
    selection.choose(9, range(9), 1)
    selection.paint(np.ones(MASK.shape, np.bool_), 2)
    assert set(selection.values()[MASK].tolist()) == {2}
    assert set(selection.values()[~MASK].tolist()) == {0}
    selection.choose(80, [3, 79], 1)
    labels = LABEL_MAP.labels
    np.testing.assert_array_equal(selection.values() == 1, np.isin(labels, [3, 79]))
    again = Selection.restore(LABEL_MAP, selection.to_json())
    np.testing.assert_array_equal(again.values(), selection.values())
    annotation = selection.annotation()
    assert set(annotation.mask[~MASK].tolist()) == {0}
    areas = [each["area"] for each in to_coco(annotation)["annotations"]]
    assert sum(areas) == INSIDE
    chosen = Annotation.of_regions(LABEL_MAP, 9, {CLASSES[0]: range(9)})
    np.testing.assert_array_equal(chosen.mask, MASK)


def test_stored_paint_outside_counts_as_no_class() -> None:
    selection = Selection(LABEL_MAP, CLASSES)
    data = json.loads(selection.to_json())
    data["pixels"] = [2, MASK.size]  # class 1 everywhere
    np.testing.assert_array_equal(Selection.restore(LABEL_MAP, data).values(), MASK)


def test_a_selection_moves_to_a_map_with_a_mask_and_back() -> None:
    whole = codec.decode(segment(PIXELS).encode(70, include_hierarchy=True))
    selection = Selection(whole, CLASSES)
    selection.choose(70, range(0, 70, 2), 1)
    before = selection.values()
    selection.move_to(LABEL_MAP)
    np.testing.assert_array_equal(selection.values(), np.where(MASK, before, 0))
    selection.move_to(whole)
    np.testing.assert_array_equal(selection.values(), np.where(MASK, before, 0))


def test_objects_split_and_annotations_are_imported_inside() -> None:
    selection = Selection(LABEL_MAP, CLASSES)
    both = selection.add_object(1)
    selection.choose(9, range(9), both)
    assert len(selection.split_object(both)) == 2  # the two parts of the mask
    assert sorted(selection.object_areas()) == sorted([55 * 40, 58 * 49])
    rough = np.zeros(MASK.shape, np.uint8)
    rough[:, :60] = 2
    for count in (None, 9):
        selection = Selection(LABEL_MAP, CLASSES)
        import_annotation(selection, Annotation(rough, tuple(CLASSES)), count=count)
        assert set(selection.values()[~MASK].tolist()) == {0}
        expected = rough if count is None else codec.snap_mask(LABEL_MAP, rough, count)
        np.testing.assert_array_equal(selection.values(), np.where(MASK, expected, 0))


def test_a_tiny_map_of_one_region() -> None:
    label_map = codec.decode(segment(scene(9, 7), mask=np.eye(7, 9, dtype=bool)).encode(1))
    selection = Selection(label_map, CLASSES)
    selection.choose(1, [0], 1)
    np.testing.assert_array_equal(selection.values(), np.eye(7, 9))
