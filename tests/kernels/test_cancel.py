"""Cancelling a call, and pausing one: where it stops, and that nothing of it is left in the workspace."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from superpixel_kernels import CancelToken, Workspace, segment
from superpixel_kernels.errors import Cancelled
from tests.kernels import images
from tests.kernels.any_image import THREADS, results


@pytest.mark.parametrize("threads", THREADS)
def test_a_cancelled_token_raises_and_leaves_the_workspace_usable(threads):
    image = images.noise(64, 48)
    workspace = Workspace(threads=threads)
    token = CancelToken()
    expected = results(segment(image, cancel=token, workspace=workspace))
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        segment(image, cancel=token, workspace=workspace)
    assert results(segment(image, workspace=workspace)) == expected


def test_the_making_of_pixel_merges_can_be_cancelled():
    hierarchy = segment(images.golden(60, 40))
    token = CancelToken()
    token.cancel()
    for ask in (
        partial(hierarchy.cut, 1500),
        partial(hierarchy.tree, 1500),
        partial(hierarchy.heights, 1500),
        partial(hierarchy.encode, 1500),
        partial(hierarchy.lut, 1500, 10),
        hierarchy.pixel_merges,
    ):
        with pytest.raises(Cancelled):
            ask(cancel=token)
    # Counts of the base need no pixel merges; and nothing was left half done.
    assert hierarchy.cut(50, cancel=token).max() + 1 == 50
    assert hierarchy.cut(1500).max() + 1 == 1500


@pytest.mark.parametrize("threads", [1, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 7))])
def test_cancelling_while_it_runs(threads):
    # Each run goes on until it is cancelled, wherever the token finds it; the waits differ,
    # so it is found in many places. Threads that wait for each other must all let go; what is left in the
    # workspace must not matter.
    image = images.noise(300, 200)
    workspace = Workspace(threads=threads)
    expected = segment(image, workspace=workspace).merges
    for wait_ms in range(40):
        token = CancelToken()
        outcome = []

        def run(token=token, outcome=outcome):
            try:
                while True:
                    segment(image, cancel=token, workspace=workspace)
            except Cancelled:
                outcome.append("cancelled")

        # A daemon, so that a run that hangs fails this test instead of keeping the process.
        running = threading.Thread(target=run, daemon=True)
        running.start()
        time.sleep(wait_ms / 1000)
        token.cancel()
        running.join(timeout=500)
        assert outcome == ["cancelled"]
        np.testing.assert_array_equal(segment(image, workspace=workspace).merges, expected)


@pytest.mark.parametrize("threads", THREADS)
def test_a_held_call_begins_no_further_step(threads):
    """Held again and again, wherever it is; released, it goes on; the result is as if never held."""
    image = images.noise(300, 200)
    workspace = Workspace(threads=threads)
    counting = CancelToken()
    expected = results(segment(image, cancel=counting, workspace=workspace))
    assert counting.steps > 20
    token = CancelToken()
    token.hold()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(segment, image, cancel=token, workspace=workspace)
        for _ in range(200):
            begun = token.steps
            while not (token.waiting or running.done()):
                time.sleep(0.0005)
            if running.done():
                break
            assert token.steps == begun
            time.sleep(0.002)
            assert token.steps == begun
            token.release()
            token.hold()
        token.release()
        assert results(running.result()) == expected
    assert token.steps == counting.steps
    assert token.held_seconds > 0


def test_a_held_call_can_be_cancelled():
    token = CancelToken()
    token.hold()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(segment, images.noise(60, 40), cancel=token)
        while not token.waiting:
            time.sleep(0.001)
        token.cancel()
        with pytest.raises(Cancelled):
            running.result(timeout=500)
    assert token.steps == 0


def test_patience_lets_a_held_call_through_step_by_step():
    token = CancelToken()
    token.hold(0.0)
    image = images.noise(60, 40)
    assert results(segment(image, cancel=token)) == results(segment(image))
    assert token.steps > 10


@pytest.mark.parametrize("patience", [-1.0, float("nan"), 1e9])
def test_patience_out_of_range(patience):
    with pytest.raises(ValueError, match=r"^patience: "):
        CancelToken().hold(patience)
