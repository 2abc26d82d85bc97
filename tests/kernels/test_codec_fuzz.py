"""A short run of the fuzzer; `python -m tests.kernels.fuzz_codec` is the long one."""

import pytest

from tests.kernels.fuzz_codec import fuzz


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow_under_sanitizer)])
def test_both_decoders_agree_on_mutated_containers(seed: int) -> None:
    tally = fuzz(4000, seed)
    # Both outcomes are reached often enough that agreement means something.
    assert tally.accepted > 300
    assert tally.refused > 2000
