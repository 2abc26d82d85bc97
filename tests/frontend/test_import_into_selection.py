"""Annotations that are put into selections: Python and JavaScript make the same selection."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import Class, Instance
from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports import import_annotation
from superpixel_service.client.selection import Selection
from tests.frontend.conftest import node
from tests.frontend.test_dataset import plain

CAT, DOG, SKY = Class("cat", "#e6194b", 7), Class("dog", "#3cb44b"), Class("sky", "#4363d8")

IMPORT = """
import { readFileSync } from 'node:fs';
import { Selection } from 'superpixel-map';
import { importAnnotation } from 'superpixel-map/imports';
import { loadMap } from './test/fixtures.js';
const map = await loadMap('noise');
const results = [];
for (const { before, annotation, count, threshold } of JSON.parse(readFileSync(process.argv[1], 'utf8'))) {
  const selection = Selection.restore(map, before);
  importAnnotation(
    selection,
    {
      ...annotation,
      mask: Uint8Array.from(annotation.mask),
      instances: annotation.instances && Uint16Array.from(annotation.instances),
    },
    { level: count ? map.cut(count) : undefined, threshold },
  );
  results.push(JSON.stringify(selection));
}
console.log(JSON.stringify(results));
"""


@pytest.fixture(scope="module")
def label_map(fixtures: Path) -> codec.LabelMap:
    return codec.decode((fixtures / "maps" / "noise.spx").read_bytes())


def begun(label_map: codec.LabelMap) -> Selection:
    """With classes, an object and paint."""
    selection = Selection(label_map, [DOG, Class("kitten", "#101010", 7)])
    selection.choose(9, [1, 2], selection.add_object(1, "mine"))
    where = np.zeros(label_map.labels.shape, bool)
    where[10:14, 5:30] = True
    selection.paint(where, 2)
    return selection


def random_annotation(label_map: codec.LabelMap, rng: np.random.Generator, *, objects: bool) -> Annotation:
    coarse = label_map.labels_at(40)
    table = rng.integers(0, 4, 40)
    noise = rng.random(coarse.shape) < 0.1
    mask = np.where(noise, rng.integers(0, 4, coarse.shape), table[coarse]).astype(np.uint8)
    if not objects:
        return Annotation(mask, (CAT, SKY, DOG))
    things = tuple(Instance(1 + i % 3, f"{i}" if i % 2 else "") for i in range(6))
    number = rng.integers(0, 2, coarse.shape) * 3
    instances = np.where((mask > 0) & (coarse % 3 > 0), mask + number, 0).astype(np.uint16)
    return Annotation(mask, (CAT, SKY, DOG), instances, things)


def test_both_languages_make_the_same_selection(
    fixtures: Path, label_map: codec.LabelMap, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    cases: list[dict[str, Any]] = []
    mine = []
    for index in range(24):
        count, threshold = (None, 1, 9, 40, 100, label_map.count)[index % 6], (0.5, 0.0, 0.3)[index % 3]
        annotation = random_annotation(label_map, rng, objects=index % 2 > 0)
        selection = begun(label_map)
        cases.append(
            {
                "before": json.loads(selection.to_json()),
                "annotation": plain("", annotation, ""),
                "count": count,
                "threshold": threshold,
            }
        )
        import_annotation(selection, annotation, count=count, threshold=threshold)
        mine.append(selection)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = node(fixtures, "--input-type=module", "--eval", IMPORT, tmp_path / "cases.json")
    assert done.returncode == 0, done.stderr
    for selection, theirs in zip(mine, json.loads(done.stdout), strict=True):
        assert selection.to_json() == theirs


def test_pixels_keep_classes_and_objects(label_map: codec.LabelMap) -> None:
    annotation = random_annotation(label_map, np.random.default_rng(3), objects=True)
    selection = begun(label_map)
    before = selection.annotation()
    import_annotation(selection, annotation)
    after = selection.annotation()
    assert [one.name for one in selection.classes] == ["dog", "kitten", "sky"]
    table = np.array([0, 2, 3, 1], np.uint8)
    assert np.array_equal(after.mask, np.where(annotation.mask > 0, table[annotation.mask], before.mask))


def test_what_does_not_fit_changes_nothing(label_map: codec.LabelMap) -> None:
    selection = begun(label_map)
    before = selection.to_json()
    shape = label_map.labels.shape
    many = tuple(Class(f"{number}", "#000000") for number in range(253))
    numbers = np.resize(np.arange(254, dtype=np.uint8), shape)
    wrong: list[tuple[Annotation, dict[str, Any], str]] = [
        (Annotation(np.ones((2, 3), np.uint8), (CAT,)), {}, "annotation: must be of"),
        (Annotation(np.ones(shape, np.uint8), (CAT,)), {"threshold": 2}, "threshold: must be from 0 to 1"),
        (Annotation(np.ones(shape, np.uint8), (CAT,)), {"count": 10**6}, "count: must be from 1"),
        (Annotation(numbers, many), {}, "classes: must be at most 254, this needs 255"),
    ]
    for annotation, options, message in wrong:
        with pytest.raises(InvalidParameter, match=message):
            import_annotation(selection, annotation, **options)
        assert selection.to_json() == before
