"""The CUDA engine through the public interface."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import CudaWorkspace, segment
from superpixel_kernels.errors import BackendUnavailable, Cancelled, InvalidImage, InvalidParameter
from tests.kernels import images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.devices import ON_GPU, Device, on_device, open_workspace
from tests.kernels.traces import IMAGES, assert_same

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


@pytest.fixture
def workspace():
    return open_workspace(seed=4)


def test_one_workspace_for_all_shapes(workspace):
    """What an earlier image left in memory does not matter, nor whether it was larger or smaller."""
    for name in ("photo-80x60", "noise-1x1", "golden-101x1", "primaries-41x37", "rgba-45x35", "gray-45x35"):
        image = images.SMALL[name]()
        hierarchy = segment(image, workspace=workspace)
        assert_same_hierarchy(hierarchy, segment(image, backend="cpu"))
        assert hierarchy.backend == "cuda"


def test_hierarchy_goes_above_the_base(workspace):
    image = images.photo(24, 20)
    actual = segment(image, workspace=workspace)
    expected = segment(image, backend="cpu")
    for count in (1, 20, actual.base_count, actual.base_count + 50, 480):
        assert_same(f"cut {count}", actual.cut(count), expected.cut(count))


def test_timings_name_every_stage(workspace):
    timings = segment(images.photo(24, 20), workspace=workspace).timings
    assert timings.keys() == segment(images.photo(24, 20), backend="cpu").timings.keys()
    assert all(seconds >= 0 for seconds in timings.values())


STRIDED = {
    "flipped": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "every second": lambda image: image[::2, ::3],
    "BGR": lambda image: image[:, :, ::-1],
    "one row again and again": lambda image: np.broadcast_to(image[:1], image.shape),
    "gray plane": lambda image: image[:, :, 1],
    "one channel": lambda image: image[:, :, 1:2],
}


@pytest.mark.parametrize("view", STRIDED)
@pytest.mark.parametrize("place", [lambda image, view: view(image), on_device], ids=["host", "device"])
def test_any_strides(view, place, workspace):
    image = images.photo(40, 30)
    viewed = STRIDED[view](image)
    actual = segment(place(image, STRIDED[view]), workspace=workspace)
    assert_same_hierarchy(actual, segment(viewed, backend="cpu"))
    assert actual.regions(3).area.sum() == viewed.shape[0] * viewed.shape[1]


@pytest.mark.parametrize("name", ["rgba-45x35", "gray-45x35"])
def test_alpha_and_gray_on_the_device(name, workspace):
    image = images.SMALL[name]()
    actual = segment(on_device(image, lambda array: array[::-1]), workspace=workspace)
    assert_same_hierarchy(actual, segment(image[::-1], backend="cpu"))


@pytest.mark.parametrize("place", [np.asarray, on_device], ids=["host", "device"])
@pytest.mark.parametrize("name", ["photo-80x60", "noise-1x1", "rgba-45x35"])
def test_results_on_the_device(name, place, workspace):
    image = images.SMALL[name]()
    actual = workspace.segment_on_device(place(image), kernels.SegmentParams())
    segment(images.photo(40, 30), workspace=workspace)  # a later call does not change them
    expected = segment(image, backend="cpu")
    assert actual.base_count == expected.base_count
    assert actual.labels.shape == expected.shape
    assert actual.merges.shape == (expected.base_count - 1, 4)
    assert_same("labels", downloaded(actual.labels), expected.base_labels)
    merges = downloaded(actual.merges).view(kernels.MERGE_DTYPE).reshape(-1)
    assert_same("merges", merges, expected.merges)


def downloaded(array):
    if ON_GPU:
        return array.get()
    host = np.empty(array.size, array.dtype)
    if array.size > 0:
        array.device.download((array, host))
    return host.reshape(array.shape)


WRONG = {
    "zero size": (np.zeros((0, 5, 3), np.uint8), "1 to"),
    "dtype": (np.zeros((4, 5, 3), np.float32), "uint8, got float32"),
    "five channels": (np.zeros((4, 5, 5), np.uint8), r"\(4, 5, 5\)"),
    "one dimension": (np.zeros(5, np.uint8), r"\(5,\)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_images_get_the_same_error_everywhere(wrong, workspace):
    image, message = WRONG[wrong]
    texts = set()
    for call in (
        lambda: segment(image, backend="cpu"),
        lambda: segment(image, workspace=workspace),
        lambda: segment(on_device(image), workspace=workspace),
    ):
        with pytest.raises(InvalidImage, match=message) as caught:
            call()
        texts.add(str(caught.value))
    assert len(texts) == 1
    segment(images.photo(8, 8), workspace=workspace)


def test_device_memory_needs_the_cuda_backend():
    with pytest.raises(InvalidImage, match="GPU's memory"):
        segment(on_device(images.photo(8, 8)), backend="cpu")


def test_a_workspace_serves_one_call_at_a_time():
    started, go_on = threading.Event(), threading.Event()
    token = kernels.CancelToken()

    class Slow(Device):
        def launch(self, *args, **options):
            started.set()
            assert go_on.wait(60)
            super().launch(*args, **options)

    busy = open_workspace(base=Slow)
    errors = []

    def first():
        try:
            segment(images.photo(8, 8), workspace=busy, cancel=token)
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(60)
    with pytest.raises(RuntimeError, match="in use by another call"):
        segment(images.photo(8, 8), workspace=busy)
    token.cancel()
    go_on.set()
    thread.join()
    assert len(errors) == 1  # it stopped after the stage that ran
    assert_same_hierarchy(
        segment(images.photo(8, 8), workspace=busy), segment(images.photo(8, 8), backend="cpu")
    )


def test_threads_with_a_workspace_each():
    """At the same time, each going through the images in another order."""
    names = ("photo-80x60", "golden-60x40", "noise-37x41", "rgba-45x35")
    expected = {name: segment(IMAGES[name](), backend="cpu") for name in names}
    start = threading.Barrier(len(names))

    def work(rank):
        own = open_workspace(seed=rank)
        start.wait()
        for name in (*names[rank:], *names[:rank]):
            assert_same_hierarchy(segment(IMAGES[name](), workspace=own), expected[name])

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, range(len(names))))


def test_workspace_of_another_backend(workspace):
    with pytest.raises(InvalidParameter, match="workspace"):
        segment(images.photo(8, 8), backend="cpu", workspace=workspace)
    with pytest.raises(InvalidParameter, match="workspace"):
        segment(images.photo(8, 8), backend="cuda", workspace=kernels.Workspace())


# --- where there is no GPU ----------------------------------------------------------------------------------


@pytest.mark.skipif(kernels.why_no_cuda() is None, reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_serves_and_says_what_is_missing():
    assert kernels.available_backends() == ("cpu",)
    assert segment(images.photo(8, 8)).backend == "cpu"
    for call in (
        lambda: segment(images.photo(8, 8), backend="cuda"),
        CudaWorkspace,
    ):
        with pytest.raises(BackendUnavailable, match=r"backend 'cuda': (CuPy is not installed|no )"):
            call()
