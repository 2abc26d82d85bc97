"""Kernels with planted bugs: each must fail the checks (nets) listed for it, and its mended copy none."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cuda_sim import BadLaunch, KernelFault, SimDevice, build

pytestmark = [pytest.mark.cuda_sim, pytest.mark.unsanitized]

KERNELS = Path(__file__).with_name("kernels")
MODES = ("plain", "race", "asan")
SEEDS = range(3)
BLOCKS, THREADS = 3, 64
COUNT = BLOCKS * THREADS
VALUES = (np.arange(COUNT, dtype=np.int32) * 37) % 1000

BY_BLOCK = VALUES.reshape(BLOCKS, THREADS)
BY_WARP = VALUES.reshape(-1, 32)
SHIFTED = np.where(np.arange(COUNT) % THREADS > 0, VALUES, 0)


def largest_of_warps_first():
    out = BY_WARP.copy()
    out[:, 0] = BY_WARP.max(axis=1)
    return out.ravel()


def dynamic_overrun():
    out = BY_BLOCK.copy()
    out[:, 0] = BY_BLOCK[:, 1]
    return out.ravel()


# The mended kernel's result for VALUES, if it is not VALUES.
RESULTS = {
    "missing_barrier": BY_BLOCK[:, ::-1].ravel(),
    "missing_second_barrier": 3 * BY_BLOCK[:, ::-1].ravel() + 3,
    "static_overrun": VALUES + SHIFTED,
    "dynamic_overrun": dynamic_overrun(),
    "local_overrun": np.where(VALUES % 4 == 0, 7, 1),
    "no_grid_barrier": VALUES[::-1],
    "no_fence_in_the_grid_barrier": VALUES[::-1],
    "inactive_lane": largest_of_warps_first(),
    "missing_syncwarp": BY_WARP[:, ::-1].ravel(),
    "shuffle_for_a_barrier": BY_WARP[:, ::-1].ravel(),
}

# The bug, the mode that must find it with every seed, and the message. For mode "result", the results in
# plain mode must be wrong for at least one of several seeds.
LINE = r"planted\.cu:\d+"
THREAD = r"thread \d+ of block \d"
AT = f"{THREAD} at {LINE}"
RACE = rf"race on .*: (\w+ )*(read|write) by \d+ of block \d at {LINE}.*, not ordered after the .* at {LINE}"
PLANTED = [
    ("missing_barrier", "race", rf"race on the shared variable `tile`.*{LINE}"),
    ("missing_barrier", "result", ""),
    ("missing_second_barrier", "race", RACE),
    ("missing_second_barrier", "result", ""),
    ("plain_add", "race", RACE),
    ("plain_add", "race", "the array of `word`"),
    ("plain_add_of_blocks", "race", RACE),
    ("read_beside_a_write", "race", RACE),
    ("write_beside_a_read", "race", RACE),
    ("plain_pair", "race", RACE),
    ("static_overrun", "plain", r"beside the shared variable `tile`, by block \d"),
    ("static_overrun", "race", rf"out of bounds, the shared variable `tile`.*{AT}"),
    ("static_overrun", "asan", rf"{THREAD}[^$]*{LINE}.*index 64 out of bounds"),
    ("dynamic_overrun", "plain", r"beside the dynamic shared memory"),
    ("dynamic_overrun", "race", rf"out of bounds, dynamic shared memory .*{AT}"),
    ("dynamic_overrun", "asan", rf"heap-buffer-overflow, write of 4 bytes, .*{THREAD}[^$]*{LINE}"),
    ("global_overrun", "plain", "beside the array of `out`"),
    ("global_overrun", "race", rf"write of 4 bytes out of bounds, the array of `out`.*{AT}"),
    ("global_overrun", "asan", rf"heap-buffer-overflow, write of 4 bytes, .*`out`.*{THREAD}[^$]*{LINE}"),
    ("global_overread", "race", rf"read of 4 bytes out of bounds, the array of `in`.*{AT}"),
    ("global_overread", "asan", rf"heap-buffer-overflow, read of 4 bytes, .*`in`.*{THREAD}[^$]*{LINE}"),
    ("local_overrun", "asan", rf"{THREAD}[^$]*{LINE}.*insufficient space for an object"),
    ("no_grid_barrier", "race", RACE),
    ("no_grid_barrier", "result", ""),
    ("no_fence_in_the_grid_barrier", "race", RACE),
    ("missing_syncwarp", "race", rf"race on the shared variable `tile`.*{LINE}"),
    ("missing_syncwarp", "result", ""),
    ("shuffle_for_a_barrier", "race", rf"race on the shared variable `tile`.*{LINE}|read of uninitialised"),
    ("uninitialised_shared", "race", rf"read of uninitialised memory, the shared variable `sum`.*{LINE}"),
    ("uninitialised_shared", "result", ""),
    ("uninitialised_global", "race", rf"uninitialised memory, the array of `out`.*{AT}"),
    ("uninitialised_global", "result", ""),
    ("misaligned", "race", rf"misaligned access of 4 bytes to the array of `in`.*{AT}"),
    ("misaligned", "asan", rf"{THREAD}[^$]*{LINE}.*misaligned address"),
    ("overflow", "asan", rf"{THREAD}[^$]*{LINE}.*signed integer overflow"),
] + [
    (name, mode, message)
    for mode in MODES
    for name, message in (
        ("left_before_the_barrier", rf"divergent barrier: {THREAD}.* at {LINE}, but {THREAD} has left"),
        ("two_barriers", rf"divergent barrier: {THREAD} waits .* at {LINE}, {THREAD} at .* {LINE}"),
        ("waits_for_a_block", rf"deadlock[^$]*block \d.*spinning at {LINE}[^$]* of 3 blocks have not begun"),
        ("lock_kept", rf"deadlock[^$]*spinning at {LINE}"),
        ("inactive_lane", rf"shuffle from an inactive lane: {THREAD} .*not in the mask at {LINE}"),
        ("not_in_its_mask", rf"divergent warp: {THREAD} is not in its own mask at a vote at {LINE}"),
        ("lane_missing_at_the_vote", rf"deadlock[^$]*at a warp operation at {LINE}"),
    )
]  # fmt: skip
NAMES = sorted({name for name, _, _ in PLANTED})
COOPERATIVE = {"no_grid_barrier", "no_fence_in_the_grid_barrier"}


def run(kernel, mode, seed, *, cooperative=None, seconds=60.0, blocks=BLOCKS):
    name = kernel.removesuffix("_mended")
    device = SimDevice(seed, mode, folder=KERNELS, seconds=seconds)
    try:
        values, out, word = (
            device.empty(COUNT, np.int32),
            device.empty(COUNT, np.int32),
            device.empty(2, np.uint32),
        )
        device.upload(VALUES, values)
        if name in COOPERATIVE:  # otherwise the race mode may find it as uninitialised
            device.upload(np.zeros(COUNT, np.int32), out)
        device.upload(np.zeros(2, np.uint32), word)
        device.launch(
            f"planted_{kernel}",
            blocks,
            THREADS,
            [values, out, np.int32(COUNT), word],
            shared_bytes=4 * THREADS if name == "dynamic_overrun" else 0,
            cooperative=name in COOPERATIVE if cooperative is None else cooperative,
        )
        result = np.empty(COUNT, np.int32)
        device.download((out, result))
        return result
    finally:
        device.close()


@pytest.mark.parametrize(("name", "mode", "message"), PLANTED, ids=lambda value: value[:28])
def test_each_planted_bug_turns_its_net_red(name, mode, message):
    if mode == "result":
        expected = RESULTS.get(name, VALUES)
        assert any((run(name, "plain", seed) != expected).any() for seed in range(12))
        return
    for seed in SEEDS:
        with pytest.raises(KernelFault) as caught:
            run(name, mode, seed)
        assert f"kernel `planted_{name}`" in str(caught.value)
        assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_each_mended_twin_is_green(name, mode):
    for seed in SEEDS:
        np.testing.assert_array_equal(run(f"{name}_mended", mode, seed), RESULTS.get(name, VALUES))


@pytest.mark.parametrize("mode", MODES)
def test_a_loop_that_never_ends_is_stopped(mode):
    words = rf"`planted_endless`: does not end: stopped after 1.* by {AT}"
    with pytest.raises(KernelFault, match=words):
        run("endless", mode, 0, seconds=1.0)


@pytest.mark.parametrize("variant", ["hooks", "asan"])
def test_wherever_a_kernel_is_stopped_it_has_a_source_line(variant):
    library = build.library(KERNELS / "planted.cu", variant)
    sections = subprocess.run(["readelf", "-SW", library], check=True, capture_output=True, text=True).stdout
    assert ".rela.dyn" in sections
    assert ".rela.plt" not in sections  # it has no stubs that call functions


def test_blocks_that_wait_for_each_other_need_a_cooperative_launch():
    for seed in range(12):
        with pytest.raises(KernelFault, match="only a cooperative launch holds all blocks"):
            run("no_grid_barrier_mended", "plain", seed, cooperative=False)
    with pytest.raises(BadLaunch, match="a cooperative launch of 4 blocks, but 3 can be resident"):
        run("no_grid_barrier_mended", "plain", 0, blocks=4)


def test_after_a_fault_the_device_is_lost():
    device = SimDevice(folder=KERNELS)
    array = device.empty(COUNT, np.int32)
    word = device.empty(1, np.uint32)
    with pytest.raises(KernelFault, match="divergent barrier"):
        device.launch("planted_two_barriers", 1, THREADS, [array, array, np.int32(COUNT), word])
    with pytest.raises(KernelFault, match="the device is lost since: kernel `planted_two_barriers`"):
        device.download((array, np.empty(COUNT, np.int32)))


def test_the_seed_decides_everything():
    """A wrong kernel gives the same wrong result for the same seed, and other results for other seeds."""
    results = [run("missing_barrier", "plain", seed).tobytes() for seed in range(8)]
    assert len(set(results)) > 1
    assert results == [run("missing_barrier", "plain", seed).tobytes() for seed in range(8)]
