"""Launches recorded as a CUDA graph give the results of launches one by one."""

import pytest

from superpixel_kernels import Guidance, SegmentParams, segment
from tests.kernels import golden_guidance, images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.devices import on_device, open_workspace

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


STAGES = ("color", "smooth", "update", "assign", "components", "graph", "merge")


@pytest.fixture
def workspace():
    return open_workspace(graphs=True)


def check(workspace, image, params=None, place=lambda image: image, guidance=None):
    actual = segment(place(image), params, workspace=workspace, guidance=guidance)
    assert_same_hierarchy(actual, segment(image, params, backend="cpu", guidance=guidance))
    return actual


def test_images_of_one_size(workspace):
    for make in (images.photo, images.golden, images.dots, images.photo):
        timings = check(workspace, make(40, 30)).timings
        assert [*timings] == [*STAGES, "cut"]
        assert all(timings[stage] > 0 for stage in STAGES)
    assert len(workspace._pipeline.workspace.recorded) == 1


def test_sizes_in_turn(workspace):
    """The larger size moves all arrays, so what was recorded before is of no use. Then both are kept."""
    for width, height in [(40, 30)] * 3 + [(80, 60)] * 3 + [(40, 30), (80, 60)] * 3:
        check(workspace, images.photo(width, height))
    assert len(workspace._pipeline.workspace.recorded) == 2


def test_compactness_in_turn(workspace):
    for compactness in (10.0, 1.0, 40.0) * 3:
        check(workspace, images.photo(40, 30), SegmentParams(compactness))


def test_channels_in_turn(workspace):
    for make in (images.photo, images.gray) * 3:
        check(workspace, make(40, 30))
    assert len(workspace._pipeline.workspace.recorded) == 2


def test_more_regions_than_guessed(workspace):
    for image in (images.photo(80, 60), images.photo(80, 60), images.noise(80, 60)) * 2:
        check(workspace, image)


def test_images_on_the_device(workspace):
    for _ in range(4):
        check(workspace, images.photo(40, 30), place=on_device)
        check(workspace, images.photo(40, 30)[::-1], place=on_device)


def test_guidance_between_them(workspace):
    guidance = Guidance(prior=golden_guidance.prior(40, 30), prior_mode="hard")
    for _ in range(3):
        check(workspace, images.photo(40, 30))
        check(workspace, images.photo(40, 30), guidance=guidance)


def test_a_limited_number_is_kept(workspace):
    for compactness in range(40):
        check(workspace, images.photo(8, 8), SegmentParams(compactness))
    assert len(workspace._pipeline.workspace.recorded) <= 16
