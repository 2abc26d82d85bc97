"""Bad input gets an error that names the parameter."""

import numpy as np
import pytest

from superpixel_kernels import SegmentParams, Workspace, available_backends, segment
from superpixel_kernels.errors import BackendUnavailable, InvalidImage, InvalidParameter
from tests.kernels import images


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.float32, np.float64, bool, object])
def test_wrong_dtype(dtype):
    with pytest.raises(InvalidImage, match=np.dtype(dtype).name):
        segment(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 2), (4, 4, 5), (4, 4, 0), (4, 4, 3, 1), (1, 4, 4, 3)])
def test_wrong_shape(shape):
    with pytest.raises(InvalidImage):
        segment(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (0, 4, 3), (4, 0, 3), (0, 0, 4)])
def test_an_image_without_pixels(shape):
    with pytest.raises(InvalidImage):
        segment(np.zeros(shape, np.uint8))


def test_an_image_too_large():
    # One byte of memory: the size must be refused before anything is copied.
    with pytest.raises(InvalidImage):
        segment(np.broadcast_to(np.uint8(0), (2**14, 2**14, 3)))


@pytest.mark.parametrize("image", [None, [[0, 1], [2, 3]], [[1], [2, 3]], b"\x89PNG", "image.png"])
def test_an_image_that_is_no_array(image):
    with pytest.raises(InvalidImage):
        segment(image)


@pytest.mark.parametrize("compactness", [np.nan, np.inf, -np.inf, -1, -1e-9, 100.001, 101, True, "10", None])
def test_bad_compactness(compactness):
    with pytest.raises(InvalidParameter, match=r"^compactness: ") as raised:
        SegmentParams(compactness=compactness)
    assert raised.value.parameter == "compactness"


BAD_COUNTS = [0, -1, 13 * 17 + 1, 2**63, True, 5.0, "5", None]


@pytest.mark.parametrize("count", BAD_COUNTS)
@pytest.mark.parametrize("method", ["cut", "tree", "heights", "encode"])
def test_bad_count(method, count):
    hierarchy = segment(images.golden(13, 17))
    with pytest.raises(InvalidParameter, match=r"^count: ") as raised:
        getattr(hierarchy, method)(count)
    assert raised.value.parameter == "count"


@pytest.mark.parametrize("count", BAD_COUNTS)
@pytest.mark.parametrize("parameter", ["fine", "coarse"])
def test_bad_lut_count(parameter, count):
    hierarchy = segment(images.golden(13, 17))
    counts = {"fine": 10, "coarse": 5} | {parameter: count}
    with pytest.raises(InvalidParameter) as raised:
        hierarchy.lut(**counts)
    assert raised.value.parameter == parameter


def test_a_lut_from_coarse_to_fine():
    hierarchy = segment(images.golden(13, 17))
    with pytest.raises(InvalidParameter) as raised:
        hierarchy.lut(fine=5, coarse=10)
    assert raised.value.parameter in ("fine", "coarse")


@pytest.mark.parametrize("threads", [-1, 2**31, True, 1.5, "2", None])
def test_bad_threads(threads):
    with pytest.raises(InvalidParameter, match=r"^threads: ") as raised:
        segment(images.golden(13, 17), threads=threads)
    assert raised.value.parameter == "threads"


def test_more_threads_than_the_workspace_has():
    with pytest.raises(InvalidParameter, match=r"^threads: must be at most the workspace's 2, got 3$"):
        segment(images.golden(13, 17), threads=3, workspace=Workspace(threads=2))


@pytest.mark.parametrize(("name", "value"), [("params", 10.0), ("cancel", object())])
def test_an_argument_of_the_wrong_type(name, value):
    with pytest.raises(InvalidParameter, match=rf"^{name}: ") as raised:
        segment(images.golden(13, 17), **{name: value})
    assert raised.value.parameter == name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"threads": -1}, "threads"), ({"threads": 1025}, "threads"), ({"instruction_set": "mmx"}, "mmx")],
)
def test_bad_workspace(arguments, named):
    with pytest.raises(ValueError, match=named):
        Workspace(**arguments)


@pytest.mark.parametrize("backend", ["gpu", "", "CPU", None])
def test_unknown_backend(backend):
    with pytest.raises(InvalidParameter, match=r"^backend: ") as raised:
        segment(images.golden(13, 17), backend=backend)
    assert raised.value.parameter == "backend"


def test_a_backend_this_machine_lacks():
    available = available_backends()
    assert "cpu" in available
    for backend in {"cpu", "cuda"}.difference(available):
        with pytest.raises(BackendUnavailable):
            segment(images.golden(13, 17), backend=backend)
