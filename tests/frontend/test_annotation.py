"""Annotations of a backend: from regions of any level, or from a stored selection of the npm package."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec, segment
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client.exports import Annotation, Class, fingerprint, to_yolo
from tests.frontend.conftest import ROOT, node

CAT, DOG = Class("cat", "#e6194b"), Class("dog", "#3cb44b")
PHOTO = np.asarray(Image.open(ROOT / "examples" / "photos" / "astronaut.jpg"))


@pytest.fixture(scope="module")
def label_map(fixtures: Path) -> codec.LabelMap:
    return codec.decode((fixtures / "maps" / "photo.spx").read_bytes())


def test_hierarchy_and_map_give_the_same_annotation(label_map: codec.LabelMap) -> None:
    hierarchy = segment(PHOTO)
    chosen = {CAT: [3, 5], DOG: [7]}
    labels = hierarchy.cut(40)
    expected = np.where(np.isin(labels, [3, 5]), 1, np.where(labels == 7, 2, 0))
    for source in (hierarchy, label_map):
        annotation = Annotation.of_regions(source, 40, chosen)
        assert annotation.mask.dtype == np.uint8
        assert np.array_equal(annotation.mask, expected)
        assert annotation.classes == (CAT, DOG)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({CAT: [40]}, "cat: region 40, must be from 0 to 39"),
        ({CAT: [-1]}, "cat: region -1, must be from 0 to 39"),
        ({CAT: [1, 2], DOG: [2]}, "dog: region 2 has another class, too"),
    ],
)
def test_invalid_regions_are_rejected(
    label_map: codec.LabelMap, chosen: dict[Class, list[int]], message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Annotation.of_regions(label_map, 40, chosen)


def test_invalid_masks_and_colors_are_rejected() -> None:
    with pytest.raises(InvalidParameter, match="color: must be #rrggbb, got 'red'"):
        Class("cat", "red")
    for mask in (np.zeros((2, 2)), np.zeros(4, np.uint8), np.zeros((0, 3), np.uint8)):
        with pytest.raises(InvalidParameter, match="mask: must be"):
            Annotation(mask, (CAT,))
    with pytest.raises(InvalidParameter, match="classes: 1 do not cover the mask"):
        Annotation(np.full((2, 2), 2, np.uint8), (CAT,))


STORE = """
import { Selection } from 'superpixel-map';
import { toYOLO } from 'superpixel-map/exports';
import { loadMap } from './test/fixtures.js';
const map = await loadMap('photo');
const selection = new Selection(map, [{ name: 'cat', color: '#e6194b' }, { name: 'dog', color: '#3cb44b' }]);
if (process.argv[1] !== 'empty') {
  selection.brush(map.cut(300), [[100, 100], [300, 320]], 20, 1);
  selection.click(map.cut(20), 400, 400, 2);
  if (process.argv[1] === 'painted') {
    selection.paintPixels([[50, 400], [250, 250]], 6, 2);
    selection.paintPixels([[200, 200]], 15, 0);
  }
}
const { mask } = selection.annotation();
console.log(JSON.stringify({ selection, mask: [...mask], yolo: toYOLO(selection.annotation()) }));
"""


def stored(fixtures: Path, how: str) -> dict[str, Any]:
    done: subprocess.CompletedProcess[str] = node(fixtures, "--input-type=module", "--eval", STORE, how)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("how", ["painted", "regions", "empty"])
def test_a_stored_selection_is_read(fixtures: Path, label_map: codec.LabelMap, how: str) -> None:
    result = stored(fixtures, how)
    annotation = Annotation.of_selection(label_map, result["selection"])
    assert annotation.mask.ravel().tolist() == result["mask"]
    assert annotation.classes == (CAT, DOG)
    assert to_yolo(annotation) == result["yolo"]
    assert set(result["mask"]) == ({0} if how == "empty" else {0, 1, 2})


def test_a_selection_of_another_map_or_a_damaged_one_is_rejected(
    fixtures: Path, label_map: codec.LabelMap
) -> None:
    data = stored(fixtures, "painted")["selection"]
    other = codec.decode((fixtures / "maps" / "other.spx").read_bytes())
    with pytest.raises(InvalidParameter, match="made on another map"):
        Annotation.of_selection(other, data)
    with pytest.raises(InvalidParameter, match="made on another map"):
        Annotation.of_selection(label_map, {**data, "map": "00000000"})
    for wrong in ({"format": "x"}, {"version": 3}):
        with pytest.raises(InvalidParameter, match="must be a superpixel-selection"):
            Annotation.of_selection(label_map, {**data, **wrong})
    damages: list[dict[str, Any]] = [
        {"regions": [0, 5]},
        {"regions": [9, label_map.count]},
        {"regions": [0, -1, 0, label_map.count + 1]},
        {"regions": [0]},
        {"regions": []},
        {"regions": ["a", "b"]},
        {"regions": None},
        {"regions": [0, 2**70]},
        {"pixels": [0, 512 * 512 - 1]},
        {"pixels": [4, 512 * 512]},
        {"classes": [{"name": "x"}]},
        {"classes": None},
    ]
    for damage in damages:
        with pytest.raises(InvalidParameter, match=r"selection: is damaged|color"):
            Annotation.of_selection(label_map, {**data, **damage})


def test_the_fingerprint_depends_on_the_labels() -> None:
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert fingerprint(labels) == fingerprint(labels.copy()) != fingerprint(labels[::-1])
    assert fingerprint(np.zeros((1, 1), np.int32)) == "00000001"
