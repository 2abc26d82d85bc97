"""Threads and workspaces: neither may change the result."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import SegmentParams, Workspace, segment
from superpixel_kernels.cpu import _engine
from tests.kernels import images
from tests.kernels.any_image import COMPACTNESS, THREADS, checked, results, small_images
from tests.kernels.marks import marked

THREADED = {
    "noise": lambda: images.noise(257, 203),
    "photo": lambda: images.photo(331, 257),
    "dots": lambda: images.dots(320, 240),
    "islands": lambda: images.islands(601, 503),  # a collective round of several threads
    "large islands": lambda: images.islands(800, 700),
    "spiral": lambda: images.spiral(240, 251),
    "flat": lambda: images.flat(300, 200),
    "wide": lambda: images.noise(9001, 3),
    "tall": lambda: images.noise(3, 9001),
    "fewer rows than threads": lambda: images.golden(500, 5),
}


@pytest.mark.parametrize("name", marked(THREADED, pytest.mark.slow_under_sanitizer, ["large islands"]))
def test_any_number_of_threads_gives_the_same(name):
    image = THREADED[name]()
    first, *others = (results(segment(image, threads=threads)) for threads in THREADS)
    assert others == [first] * len(others)


@checked
@given(small_images(), COMPACTNESS, st.sampled_from(THREADS))
def test_threads_on_small_images(image, compactness, threads):
    params = SegmentParams(compactness=compactness)
    assert results(segment(image, params, threads=threads)) == results(segment(image, params, threads=1))


@checked
@given(small_images(), small_images(), COMPACTNESS)
def test_what_a_workspace_held_before_does_not_matter(image, other, compactness):
    params = SegmentParams(compactness=compactness)
    workspace = Workspace(threads=2)
    segment(other, SegmentParams(compactness=3.0), workspace=workspace).cut(1)
    assert results(segment(image, params, workspace=workspace)) == results(segment(image, params))


@pytest.mark.parametrize("threads", THREADS)
def test_one_workspace_for_images_of_all_sizes(threads):
    workspace = Workspace(threads=threads)
    for name in ("noise", "fewer rows than threads", "photo", "flat", "dots", "noise"):
        image = THREADED[name]()
        assert results(segment(image, workspace=workspace)) == results(segment(image, threads=1))


@pytest.mark.parametrize("threads", THREADS)
def test_whole_pixels_are_copied_and_looked_up_by_any_number_of_threads(threads):
    """On maps large enough to be shared among threads, with a part left over at the end."""
    height, width = 1543, 1361
    workspace = Workspace(threads=threads)
    random = np.random.default_rng(5)
    for channels in (1, 3):
        pixels = random.integers(0, 256, (height, width, channels), np.uint8)
        np.testing.assert_array_equal(_engine.copy_pixels(pixels, workspace), pixels)
    rgba = random.integers(0, 256, (height, width, 4), np.uint8)
    alpha = rgba[..., 3:].astype(np.int32)
    on_white = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    np.testing.assert_array_equal(_engine.copy_pixels(rgba, workspace), on_white)
    table = random.integers(0, 2**31, 5000, np.int32)
    index = random.integers(0, 5000, (height, width), np.int32)
    np.testing.assert_array_equal(_engine.lookup(table, index, threads), table[index])


@pytest.mark.slow
@pytest.mark.slow_under_sanitizer
def test_memory_above_what_a_workspace_keeps_is_lent_to_the_system():
    image = images.photo(1500, 1400)
    keeping, lending = Workspace(threads=2), Workspace(threads=2, kept_bytes=8 << 20)
    expected = results(segment(image, workspace=keeping))
    assert keeping.bytes > 40e6
    before = lent_bytes()
    assert results(segment(image, workspace=lending)) == expected
    # Where the system knows no lending, it is given back at once.
    assert lending.bytes == 0 or lent_bytes() - before > 0.5 * lending.bytes
    # What is not taken meanwhile is used again; what is reads as zeros.
    assert results(segment(image, workspace=lending)) == expected
    small = images.noise(64, 48)
    assert results(segment(small, workspace=lending)) == results(segment(small))


def test_small_memory_above_what_a_workspace_keeps_is_given_back():
    image = images.noise(64, 48)
    workspace = Workspace(threads=2, kept_bytes=0)
    assert results(segment(image, workspace=workspace)) == results(segment(image))
    assert workspace.bytes == 0


def lent_bytes():
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("LazyFree:"))


def test_segments_run_side_by_side():
    pictures = [images.noise(120, 90, seed=seed) for seed in range(8)]
    expected = [results(segment(picture, threads=1)) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda picture: results(segment(picture, threads=2)), pictures))
    assert actual == expected


@pytest.mark.parametrize("threads", THREADS)
def test_some_of_a_workspaces_threads(threads):
    image = images.noise(257, 203)
    workspace = Workspace(threads=7)
    for use in (threads, 0, threads):
        hierarchy = segment(image, threads=use, workspace=workspace)
        assert results(hierarchy) == results(segment(image, threads=1))


def test_a_forked_child_is_told_to_make_its_own_workspace():
    workspace = Workspace(threads=2)
    image = images.photo(60, 50)
    before = segment(image, workspace=workspace)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # from Python 3.12 on, for forking with threads: the point
        child = os.fork()
    if child == 0:
        status = 1
        try:
            segment(image, workspace=workspace)
        except RuntimeError as error:
            del workspace
            status = 0 if "fork" in str(error) and np.array_equal(segment(image).merges, before.merges) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
