"""The FiftyOne plugin with real FiftyOne and its database: converters, and operators as the app runs them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import snap_mask
from superpixel_service import segment_file
from superpixel_service.client.exports import Annotation, Class, Instance

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "chelsea.jpg"


@pytest.fixture(scope="module")
def fo(tmp_path_factory):
    """FiftyOne with a home, a database and plugins of its own."""
    home = tmp_path_factory.mktemp("fiftyone")
    plugins = home / "plugins"
    plugins.mkdir()
    shutil.copytree(ROOT / "integrations" / "fiftyone", plugins / "superpixels")
    os.environ |= {
        "FIFTYONE_DATABASE_DIR": str(home / "database"),
        "FIFTYONE_PLUGINS_DIR": str(plugins),
        "FIFTYONE_CONFIG_PATH": str(home / "config.json"),
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    return pytest.importorskip("fiftyone", reason="needs `make integrations-install`")


@pytest.fixture(scope="module")
def converters(fo):  # noqa: ARG001  # sets FiftyOne's folders before it is loaded
    import importlib.util

    path = ROOT / "integrations" / "fiftyone" / "converters.py"
    spec = importlib.util.spec_from_file_location("fiftyone_converters", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dataset(fo):
    made = fo.Dataset()
    made.add_sample(fo.Sample(filepath=str(PHOTO)))
    yield made
    made.delete()


def annotation():
    height, width = np.asarray(Image.open(PHOTO)).shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[20:90, 30:120] = 1
    mask[200:220, 300:330] = 2
    mask[150:170, 30:60] = 2
    instances = np.zeros((height, width), np.uint16)
    instances[20:50, 30:120] = 1
    instances[50:90, 30:120] = 2
    classes = (Class("cat", "#e6194b"), Class("dog", "#3cb44b"))
    return Annotation(mask, classes, instances, (Instance(1, "Tom"), Instance(1, "")))


def test_superpixels_are_a_segmentation(fo, converters, dataset):
    labels = segment_file(PHOTO.read_bytes(), counts=300).labels
    sample = dataset.first()
    sample["superpixels"] = converters.superpixels(sample.filepath, 300)
    sample.save()
    dataset.reload()
    stored = dataset.first()["superpixels"]
    assert isinstance(stored, fo.Segmentation)
    assert np.array_equal(stored.mask, labels + 1)
    with pytest.raises(ValueError, match="count"):
        converters.superpixels(sample.filepath, 70_000)


def test_annotations_become_labels_and_come_back(converters, dataset):
    given = annotation()
    height, width = given.mask.shape
    sample = dataset.first()
    sample["objects"] = converters.to_detections(given)
    sample["classes"], targets = converters.to_segmentation(given)
    dataset.mask_targets["classes"] = targets
    dataset.save()
    sample.save()
    dataset.reload()
    stored = dataset.first()
    assert np.array_equal(stored["classes"].mask, given.mask)
    assert dataset.mask_targets["classes"] == {1: "cat", 2: "dog"}
    assert [each.label for each in stored["objects"].detections] == ["cat", "cat", "dog", "dog"]
    back = converters.from_detections(stored["objects"], width, height)
    assert np.array_equal(back.mask, given.mask)
    assert np.array_equal(back.instances > 0, given.mask > 0)
    assert [each.name for each in back.objects] == ["Tom", "", "", ""]
    # FiftyOne's own reading of the masks.
    painted = stored["objects"].to_segmentation(frame_size=(width, height), mask_targets={1: "cat", 2: "dog"})
    assert np.mean(painted.mask != given.mask) < 0.002


def test_boxes_without_masks_are_filled(fo, converters):
    box = fo.Detection(label="cat", bounding_box=[0.25, 0.5, 0.5, 0.25])
    made = converters.from_detections(fo.Detections(detections=[box]), 40, 20)
    expected = np.zeros((20, 40), int)
    expected[10:15, 10:30] = 1
    assert np.array_equal(made.mask, expected)


def test_operators_run(fo, dataset):
    import fiftyone.operators as foo

    context = {"dataset": dataset, "view": dataset.view(), "params": {"count": 200, "field": "small"}}
    result = foo.execute_operator("superpixels/compute_superpixels", context)
    assert result.result == {"samples": 1}, result.error
    dataset.reload()
    answer = segment_file(PHOTO.read_bytes(), counts=1000)
    assert len(np.unique(dataset.first()["small"].mask)) == 200

    rough = np.zeros(answer.labels.shape, bool)
    rough[50:150, 100:230] = True
    sample = dataset.first()
    place = [100 / rough.shape[1], 50 / rough.shape[0], 130 / rough.shape[1], 100 / rough.shape[0]]
    inside = np.ones((100, 130), bool)
    detection = fo.Detection(label="cat", bounding_box=place, mask=inside, confidence=0.5)
    sample["rough"] = fo.Detections(detections=[detection])
    sample.save()
    context |= {"params": {"source": "rough", "field": "exact", "count": 1000}}
    result = foo.execute_operator("superpixels/snap_to_superpixels", context)
    assert result.result == {"samples": 1}, result.error
    dataset.reload()
    (exact,) = dataset.first()["exact"].detections
    expected = snap_mask(answer.labels, rough, 1000) > 0
    y, x = np.nonzero(expected)
    assert np.array_equal(exact.mask, expected[y.min() : y.max() + 1, x.min() : x.max() + 1])
    assert (exact.label, exact.confidence) == ("cat", 0.5)
