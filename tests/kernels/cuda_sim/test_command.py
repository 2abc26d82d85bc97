"""The command for debugging, with pipelines that are correct, wrong in one place, or faulty."""

import copy

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels.cpu import _engine
from tests.kernels import images
from tests.kernels.cuda_sim import KernelFault
from tests.kernels.cuda_sim.__main__ import main

pytestmark = [pytest.mark.cuda_sim, pytest.mark.unsanitized]


def engine(pixels, compactness, _device):
    return _engine.trace(pixels, compactness, _engine.Workspace(threads=1))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(images.golden(40, 30)).save(path)
    return str(path)


def changed(stage, place, iteration=None):
    """A trace with one value off by one."""

    def trace(pixels, compactness, device):
        stages = copy.deepcopy(dict(engine(pixels, compactness, device)))
        array = stages[stage] if iteration is None else stages[stage][iteration]
        array[place] += 1
        return stages

    return trace


def test_equal(image, capsys):
    assert main([image], engine) == 0
    assert capsys.readouterr().out == "equal\n"


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (changed("color", (1, 4, 7)), "color: A of pixel x=7 y=4: "),
        (changed("smooth", (2, 0, 39)), "smooth: B of pixel x=39 y=0: "),
        (changed("centers", (3, 4), 1), "centers, iteration 1: 4y of centre 3: "),
        (changed("assign", (29, 0), 2), "assign, iteration 2: label of pixel x=0 y=29: "),
        (changed("base", (0, 1)), "base: label of pixel x=1 y=0: "),
        (changed("nodes", (5, 1)), "nodes: sL of region 5: "),
        (changed("edges", (0, 2)), "edges: len of edge 0 (0, 1): "),
        (changed("merges", (0, 0)), "merges: height bits of merge 0 ("),
    ],
)
def test_the_first_difference_is_named(image, capsys, trace, words):
    assert main([image, "--mode", "race", "--seed", "5"], trace) == 1
    assert capsys.readouterr().out.startswith(words)


@pytest.mark.parametrize(
    ("stage", "change", "words"),
    [
        ("edges", lambda edges: edges[:-1], "edges: the first "),
        ("merges", lambda merges: np.vstack([merges, merges[:1]]), "merges: the first "),
        ("color", lambda color: color[:, :-1], "color: shape (3, 29, 40) instead of (3, 30, 40)"),
        ("base", lambda base: base.astype(np.int64), "base: dtype int64 instead of int32"),
        ("assign", lambda assign: assign[:2], "assign: 2 iterations instead of 3"),
        ("rounds", lambda rounds: rounds + 1, "rounds: "),
    ],
)
def test_other_sizes_and_types_are_differences(image, capsys, stage, change, words):
    def trace(pixels, compactness, device):
        stages = dict(engine(pixels, compactness, device))
        return stages | {stage: change(stages[stage])}

    assert main([image], trace) == 1
    assert words in capsys.readouterr().out


def test_a_fault_is_printed(image, capsys):
    def trace(_pixels, _compactness, _device):
        raise KernelFault("kernel `x`: deadlock")

    assert main([image], trace) == 1
    assert capsys.readouterr().out == "kernel `x`: deadlock\n"
