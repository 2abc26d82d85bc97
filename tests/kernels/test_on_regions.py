"""`on_regions`: called once per call with the number of base regions, before the memory for them is taken."""

import numpy as np
import pytest

from superpixel_kernels import Workspace, segment
from superpixel_kernels.codec import varints
from tests.kernels import devices, images
from tests.kernels.any_image import THREADS, results

NOISE = images.noise(160, 120)


class TooMany(Exception):
    pass


def refuse(regions):
    raise TooMany(regions)


@pytest.mark.parametrize("threads", THREADS)
def test_the_number_is_reported_and_the_result_is_the_same(threads):
    found = []
    hierarchy = segment(NOISE, on_regions=found.append, workspace=Workspace(threads=threads))
    assert found == [hierarchy.base_count]
    assert results(hierarchy) == results(segment(NOISE))


def test_an_exception_ends_the_call_before_memory_for_the_regions_is_taken():
    workspace = Workspace(threads=2, kept_bytes=1 << 40)
    with pytest.raises(TooMany) as caught:
        segment(NOISE, on_regions=refuse, workspace=workspace)
    refused = workspace.bytes
    hierarchy = segment(NOISE, workspace=workspace)
    assert caught.value.args == (hierarchy.base_count,)
    assert workspace.bytes > refused + 300 * hierarchy.base_count
    assert results(hierarchy) == results(segment(NOISE))


@pytest.mark.unsanitized  # builds the simulated device
def test_the_cuda_engine_reports_it_too():
    found = []
    workspace = devices.open_workspace()
    small = images.noise(48, 40)
    hierarchy = segment(small, on_regions=found.append, workspace=workspace)
    assert set(found) == {hierarchy.base_count}
    with pytest.raises(TooMany):
        segment(small, on_regions=refuse, workspace=workspace)
    assert results(segment(small, workspace=workspace)) == results(segment(small, backend="cpu"))


def test_varints_are_those_of_protobuf():
    values = np.array([[0, 1, 127], [128, 300, 2**32 - 1]], np.int64)
    assert varints(values) == bytes([0, 1, 127, 128, 1, 172, 2, 255, 255, 255, 255, 15])
    assert varints(np.empty(0, np.int32)) == b""
