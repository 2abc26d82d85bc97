"""A picture is labelled wholly, by `benchmarks.labelling`: smart select, new objects, gaps, export."""

from pathlib import Path

import numpy as np
from benchmarks.click_methods import Click, Mask
from benchmarks.labelling import label_photograph
from PIL import Image

from tests.page.annotator import Annotator

COLOURS = np.array([[150, 100, 100], [100, 100, 150], [150, 150, 100], [100, 150, 100]], np.uint8)


def middle(wanted: Mask, selected: Mask, _clicked: Mask) -> Click | None:
    """Click the wrong pixel that is nearest to the middle of the wrong ones."""
    for positive, wrong in ((True, wanted & ~selected), (False, selected & ~wanted)):
        if wrong.any():
            places = np.argwhere(wrong)
            y, x = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))].tolist()
            return Click(x, y, positive, np.array([[x, y]]), wanted)
    return None


def test_four_areas_become_four_objects(annotator: Annotator, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:240, :320]
    truth = (2 * (rows >= 96) + (columns >= 192)).astype(np.int32)
    path = tmp_path / "areas.png"
    Image.fromarray(COLOURS[truth]).save(path)
    result = label_photograph(annotator.page, path, truth, middle, enough=1.0, drags=False)
    assert result.unlabelled == 0
    assert result.objects == 4
    assert result.overlaps == [1.0] * 4
    assert result.right == 1
    # Keys: two per object, the tool, "next gap". Controls: two to export, and two to fill holes if any.
    assert result.gestures["keys"] == 10
    assert result.gestures["menu"] in {2, 4}
    assert 4 <= result.gestures["clicks"] <= 24
