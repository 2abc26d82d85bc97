"""The C++ engine with guidance: golden values, and every stage `==` the reference."""

import numpy as np
import pytest

from superpixel_kernels import Guidance, Workspace, segment
from superpixel_kernels.cpu import _engine
from tests.kernels import golden, golden_guidance, images
from tests.kernels.guided import any_guidance, reference_trace
from tests.kernels.traces import assert_same_trace, trace

INSTRUCTION_SETS = _engine.available_instruction_sets()


@pytest.fixture(params=INSTRUCTION_SETS)
def workspace(request):
    return Workspace(threads=1, instruction_set=request.param)


@pytest.mark.parametrize("row", golden_guidance.ROWS, ids=str)
def test_golden_row(row, workspace):
    hierarchy = segment(row.pixels(), guidance=Guidance(**row.guidance()), workspace=workspace)
    assert hierarchy.base_count == row.regions
    assert hierarchy.prior_components == row.components
    assert golden.crc(hierarchy.base_labels) == row.base
    assert golden.crc(hierarchy.merges) == row.merges
    for count, checksum in row.maps:
        assert golden.crc(hierarchy.cut(count)) == checksum


@pytest.mark.parametrize("row", golden_guidance.ROWS, ids=str)
def test_golden_row_stages(row, workspace):
    result = trace(row.pixels(), 10.0, workspace, Guidance(**row.guidance()))
    assert len(result["edges"]) == row.edges
    assert result["rounds"] == sum(row.rounds)
    assert result.get("prior_components") == row.components


@pytest.mark.parametrize("name", images.SMALL)
def test_stages_of_small_images(name, workspace):
    image = images.SMALL[name]()
    for seed in range(4):
        arguments = any_guidance(np.random.default_rng(seed), *image.shape[:2])
        actual = trace(image, 10.0, workspace, Guidance(**arguments))
        assert_same_trace(actual, reference_trace(image, arguments))
