"""No image takes more memory than the server charges for it: a search over noise, sizes and counts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
GUIDANCE = (None, None, "edges", "soft", "hard")
PATTERNS = ("one bit", "color", "alpha", "checkerboard", "stripes", "uneven checkerboard", "flat")


class Measurer:
    """A process that segments images one after another and measures each."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.image_memory"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, **wanted: Any) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()  # closes its input, at which it ends, and its output


@pytest.fixture
def measurer() -> Iterator[Measurer]:
    measurer = Measurer()
    yield measurer
    measurer.close()


@st.composite
def images(draw: st.DrawFn, least: int, most: int) -> dict[str, Any]:
    """An image of `least` to `most` pixels, and what is asked for it."""
    area = draw(st.integers(least, most))
    height = draw(st.sampled_from((1, 2, 7, int(area**0.5), area // 3, area)))
    width = max(1, area // height)
    pixels = height * width
    finest = draw(st.sampled_from((0, 5, pixels // 8, pixels // 3, pixels // 2, pixels)))
    mask = draw(st.sampled_from((None, None, "rows", "one"))) if height > 1 else None
    if mask:
        finest = min(finest, pixels - 1 if mask == "one" else width * ((height + 1) // 2))
    finest = min(finest, 1_000_000 if pixels <= 1_000_000 else pixels // 64)  # refinement has its own limit
    levels = draw(st.sampled_from((1, 2, 32)))
    counts = (
        sorted({max(1, finest - number * (finest // 40 + 1)) for number in range(levels)}) if finest else []
    )
    return {
        "pattern": draw(st.sampled_from(PATTERNS)),
        "height": height,
        "width": width,
        "counts": counts,
        "compactness": draw(st.sampled_from((0.0, 1.0, 10.0, 100.0))),
        "encoding": draw(st.sampled_from(("spx", "png", "raw_gzip"))),
        "tree": draw(st.booleans()) or not counts,
        "regions": draw(st.booleans()),
        "guidance": draw(st.sampled_from((None, None, "edges", "hard") if mask else GUIDANCE)),
        "mask": mask,
        "threads": draw(st.sampled_from((1, 2, 4))),
        "file": draw(st.sampled_from((None, "PNG", "WEBP"))) if max(height, width) < 16_000 else None,
    }


def check(measurer: Measurer, image: dict[str, Any]) -> None:
    found = measurer.measure(**image)
    target(found["peak"] / found["charge"], label="peak by charge")
    assert found["peak"] <= found["charge"], (image, found)


@given(image=images(50_000, 400_000))
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_image_takes_more_memory_than_is_charged(measurer: Measurer, image: dict[str, Any]) -> None:
    check(measurer, image)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(image=images(500_000, 8_000_000))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_large_image_takes_more_memory_than_is_charged(measurer: Measurer, image: dict[str, Any]) -> None:
    check(measurer, image)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_bit_noise_of_fifty_megapixels_takes_no_more_than_is_charged(measurer: Measurer) -> None:
    check_one = {"pattern": "one bit", "height": 7000, "width": 7000, "counts": [1000], "compactness": 10.0}
    found = measurer.measure(**check_one, encoding="spx", tree=True, regions=True, threads=2, file=None)
    assert found["peak"] <= found["charge"]
    assert found["peak"] > 100 * 7000 * 7000  # twice what a photograph takes
