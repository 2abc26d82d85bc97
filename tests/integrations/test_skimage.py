"""`slic` beside scikit-image's, on photographs that people segmented, at the same real counts.

make test-integrations
"""

import inspect
import os
from pathlib import Path

import numpy as np
import pytest

segmentation = pytest.importorskip("skimage.segmentation", reason="needs `make integrations-install`")
pytest.importorskip("scipy.io", reason="needs `make integrations-install`")

from benchmarks.data import DATA_VARIABLE, DEFAULT_DATA, ROOT, photographs  # noqa: E402
from benchmarks.metrics import compact, count_labels, count_overlaps, undersegmentation_error  # noqa: E402

from superpixel_kernels import slic  # noqa: E402

DATA = Path(os.environ.get(DATA_VARIABLE) or ROOT / DEFAULT_DATA)

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not (DATA / "images").exists(), reason=f"{DATA} is missing: set {DATA_VARIABLE}")
@pytest.mark.parametrize("count", [100, 400])
def test_lower_undersegmentation_error_at_equal_counts(count):
    chosen = photographs(DATA, 5)[:20]
    assert len(chosen) == 20
    errors = []
    for photo in chosen:
        theirs = compact(segmentation.slic(photo.image, n_segments=count, compactness=10))
        ours = slic(photo.image, n_segments=count_labels(theirs), compactness=10, start_label=0)
        assert count_labels(ours) == count_labels(theirs)
        errors.append(
            [
                np.mean([undersegmentation_error(count_overlaps(truth, labels)) for truth in photo.truths])
                for labels in (ours, theirs)
            ]
        )
    ours, theirs = np.array(errors).T
    assert ours.mean() < 0.75 * theirs.mean()
    assert (ours < theirs).all()


def test_the_signature_is_that_of_scikit_image():
    """Every argument of theirs is one of ours, with the same default."""
    theirs = inspect.signature(segmentation.slic).parameters
    ours = inspect.signature(slic).parameters
    assert list(theirs)[:3] == list(ours)[:3]
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name


@pytest.mark.parametrize(
    "arguments",
    [
        {"start_label": 0},
        {"start_label": 1},
        {"mask": np.hypot(*(np.indices((64, 64)) - 32)) < 30},
        {"mask": np.hypot(*(np.indices((64, 64)) - 32)) < 30, "start_label": 0},
        {"sigma": 1.0},
        {"channel_axis": -1},
    ],
)
def test_results_have_the_same_form(arguments):
    image = np.random.default_rng(0).random((64, 64, 3))
    theirs = segmentation.slic(image, n_segments=20, **arguments)
    ours = slic(image, n_segments=20, **arguments)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert ours.min() == theirs.min()
    if "mask" in arguments:
        outside = ~arguments["mask"]
        assert np.array_equal(np.unique(ours[outside]), np.unique(theirs[outside]))
    for wrong in (np.zeros((5, 5)), np.full((5, 5, 3), np.nan)):
        for function in (slic, segmentation.slic):
            with pytest.raises(ValueError):
                function(wrong)
