"""Memory that the CUDA engine takes, keeps and gives back."""

import numpy as np
import pytest

from superpixel_kernels import SegmentParams, segment
from superpixel_kernels.cuda import bytes_needed
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import EDGES_PER_REGION, Grid, grid_of, table_slots, whole_layout
from superpixel_kernels.errors import OutOfMemory
from superpixel_kernels.pixels import as_pixels
from tests.kernels import images
from tests.kernels.cuda_tools import assert_equal_stages, assert_same_hierarchy
from tests.kernels.devices import TUNING, Device, open_pipeline, open_workspace

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


def test_bytes_needed_is_what_is_allocated():
    for name in ("photo-80x60", "noise-1x1", "golden-101x1"):
        image = images.SMALL[name]()
        line = open_pipeline()
        with line.device.active():
            line.segment(as_pixels(image), image.shape[:2], Settings(10.0))
        assert line.workspace.bytes == bytes_needed(image.shape[1], image.shape[0], tuning=TUNING)


def test_more_regions_than_guessed():
    """Noise: the first pass finds that there is no room, the second one has it."""
    image = images.noise(80, 60)
    actual = assert_equal_stages(image, 10.0, seed=6)
    regions = len(actual["nodes"])
    assert regions > Grid(80, 60).regions_guess
    line = open_pipeline()
    with line.device.active():
        line.segment(image, (60, 80), Settings(10.0))
    assert line.workspace.bytes == bytes_needed(80, 60, regions=regions, tuning=TUNING)


def test_the_cap_is_checked_before_anything_is_allocated():
    small, large = images.photo(40, 30), images.photo(80, 60)
    cap = bytes_needed(40, 30, tuning=TUNING)
    capped = open_workspace(limit_bytes=cap)
    with pytest.raises(OutOfMemory, match=f"cap is {cap}"):
        segment(large, workspace=capped)
    assert capped.bytes == 0
    assert_same_hierarchy(segment(small, workspace=capped), segment(small, backend="cpu"))
    assert capped.bytes == cap


def test_memory_above_what_is_kept_is_given_back():
    rounded_up = 512 * len(whole_layout(grid_of(40, 30), 0, 0, EDGES_PER_REGION, TUNING))
    line = open_workspace(kept_bytes=bytes_needed(40, 30, tuning=TUNING) + rounded_up)
    small, large = images.photo(40, 30), images.photo(80, 60)
    for image, held in ((small, bytes_needed(40, 30, tuning=TUNING)), (large, 0), (small, None)):
        assert_same_hierarchy(segment(image, workspace=line), segment(image, backend="cpu"))
        assert held is None or line.bytes == held


def test_noise_finds_room_that_was_made_before():
    line = open_pipeline()
    stages = []
    with line.device.active():
        for passes in (2, 1):
            stages.clear()
            image, settings = images.noise(80, 60), Settings(10.0)
            line.segment(image, (60, 80), settings, observe=lambda name, _: stages.append(name))
            assert stages.count("graph") == passes


@pytest.mark.parametrize(("width", "height"), [(1, 10**8), (10**8, 1), (3, 30_000_000)])
def test_thin_images_ask_for_little_more_than_square_ones(width, height):
    """They have up to eight times the cells, each at least one region."""
    side = int((width * height) ** 0.5)
    assert bytes_needed(width, height) < 2 * bytes_needed(side, side)


def test_memory_of_another_shape_makes_way():
    """Two shapes that fit one by one, but not side by side."""
    wide, tall = images.photo(200, 2), images.photo(2, 200)
    cap = max(bytes_needed(200, 2, tuning=TUNING), bytes_needed(2, 200, tuning=TUNING))
    capped = open_workspace(limit_bytes=cap)
    for image in (wide, tall, wide):
        assert_same_hierarchy(segment(image, workspace=capped), segment(image, backend="cpu"))
        assert capped.bytes <= cap


def test_arguments_kept_for_a_size_do_not_outlive_the_arrays():
    """The larger image moves all arrays; the last one has the size and the arguments of the first."""
    workspace = open_workspace()
    for image in (images.photo(40, 30), images.photo(80, 60), images.golden(40, 30)):
        assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))


def test_kept_arguments_are_those_of_the_compactness():
    workspace = open_workspace()
    image = images.photo(40, 30)
    for compactness in (10.0, 1.0, 40.0, 10.0):
        params = SegmentParams(compactness)
        actual = segment(image, params, workspace=workspace)
        assert_same_hierarchy(actual, segment(image, params, backend="cpu"))


def test_out_of_memory_leaves_a_working_workspace():
    class Small(Device):
        room = 200_000

        def empty(self, count, dtype):
            self.room -= count * np.dtype(dtype).itemsize
            if self.room < 0:
                self.room = 10_000_000
                raise OutOfMemory("full")
            return super().empty(count, dtype)

    workspace = open_workspace(base=Small)
    image = images.photo(40, 30)
    with pytest.raises(OutOfMemory):
        segment(image, workspace=workspace)
    assert workspace.bytes == 0
    assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))


@pytest.mark.parametrize("edges", [1, 31, 32, 33, 100, 4096, 4097, 10**8])
def test_table_slots_are_a_power_of_two_and_half_empty(edges):
    slots = table_slots(edges)
    assert slots & (slots - 1) == 0
    assert slots >= 2 * edges
    assert slots == 64 or slots < 4 * edges
