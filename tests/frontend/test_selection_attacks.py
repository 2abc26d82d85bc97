"""Stored selections as attackers write them: refused, with little memory, without a crash."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client.exports import Annotation
from tests.frontend import selection_cases as cases
from tests.frontend.conftest import node

PAGE_SIZED = """
import sys
import numpy as np
from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client.exports import Annotation, fingerprint
labels = np.zeros((480, 640), np.int32)
data = {"format": "superpixel-selection", "version": 1, "width": 640, "height": 480, "count": 1,
        "map": fingerprint(labels), "classes": [], "regions": [0, 1],
        "pixels": [0, 2**63 - 1, 0, 2**63 - 1, 0, labels.size + 2]}
try:
    Annotation.of_selection(codec.LabelMap(labels, 1, True, 1), data)
except InvalidParameter as error:
    sys.exit(str(error))
"""


def test_lengths_whose_sum_wraps_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", PAGE_SIZED], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "selection: is damaged: pixels: run 0 must have a value from 0 to 1 and a length from 1 to 307200\n"
    )


@pytest.mark.parametrize("part", ["regions", "pixels"])
def test_forged_runs_are_refused_with_little_memory(part: str) -> None:
    size = {"regions": cases.MAP.count, "pixels": cases.SIZE}[part]
    for runs in cases.forged(size):
        data = {**cases.PAINTED, part: runs}
        assert cases.expected(data) is None, runs[:6]
        assert cases.peak_bytes(data) < 100_000, runs[:6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regions": [0, 8]}, "regions: hold 8 values, must be 9"),
        ({"regions": [0, 5, 3, 4]}, "regions: run 1 must have a value from 0 to 2 and a length from 1 to 9"),
        ({"regions": [0, 5, 0, 0, 0, 4]}, "regions: run 1 must have a value"),
        ({"regions": [0, 9, 0]}, "regions: must be value and length of at most 9 runs"),
        ({"regions": None}, "regions: must be value and length of at most 9 runs"),
        ({"pixels": "0"}, "pixels: must be value and length of at most 252 runs"),
        ({"pixels": None}, "pixels: must be value and length"),
        ({"pixels": [4, 252]}, "pixels: run 0 must have a value from 0 to 3 and a length from 1 to 252"),
        ({"classes": {}}, "classes: must be a list of at most 254"),
        ({"classes": cases.CLASSES * 128}, "classes: must be a list of at most 254"),
        ({"classes": [{"name": 5, "color": "#000000"}]}, "classes: each must have a name and a color"),
        ({"classes": [None]}, "classes: each must have a name and a color"),
        ({"classes": [{"name": "x", "color": "red"}]}, "color: must be #rrggbb"),
    ],
)
def test_the_error_says_what_would_be_valid(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"^selection: is damaged: {message}"):
        Annotation.of_selection(cases.MAP, {**cases.WHOLE, **change})


@pytest.mark.parametrize("data", [None, [], "{}", 1, {"version": 1}, {**cases.WHOLE, "version": True}])
def test_other_json_is_refused(data: Any) -> None:
    with pytest.raises(InvalidParameter, match="must be a superpixel-selection of version 1 or 2"):
        Annotation.of_selection(cases.MAP, data)


def test_nested_names_are_refused() -> None:
    nested = json.loads('{"name":' + "[" * 900 + "]" * 900 + ',"color":"#000000"}')
    with pytest.raises(InvalidParameter, match="each must have a name"):
        Annotation.of_selection(cases.MAP, {**cases.WHOLE, "classes": [nested]})


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_selections_are_read_by_the_rules_or_refused(seed: int) -> None:
    read, refused = cases.fuzz(5000, seed)
    assert read > 300
    assert refused > 2000


@pytest.mark.slow
def test_many_mutated_selections() -> None:
    read, refused = cases.fuzz(100_000, 3)
    assert read > 7_000
    assert refused > 50_000


@pytest.mark.slow
def test_many_mutated_selections_in_javascript(tmp_path: Path, fixtures: Path) -> None:
    for name in ("maps", "containers.json"):
        (tmp_path / name).symlink_to(fixtures / name)
    cases.write(tmp_path, 60_000, 4)
    done = node(tmp_path, "--test", "test/untrusted.test.js")
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
