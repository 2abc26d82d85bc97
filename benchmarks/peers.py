"""Other implementations of superpixels, each as a function from an image and a wanted count to a label map.

Each runs on one thread with its default settings. If its documentation recommends a preparation of the image,
the call includes it. Libraries are imported on first use, so benchmarks without peers do not need them.
"""

import contextlib
import importlib
import importlib.metadata
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Pixels

Segment = Callable[[Pixels, int], NDArray[np.integer]]
"""From (height, width, 3) RGB and a wanted count to (height, width) labels as the peer returns them: any
integers, with or without gaps. The number of distinct labels is the peer's real count."""

ITERATIONS = 10
"""For peers without a default; it is the default of the others."""


def skimage_slic(image: Pixels, count: int) -> NDArray[np.integer]:
    """SLIC of scikit-image (Achanta et al. 2012), which converts to Lab itself."""
    slic = importlib.import_module("skimage.segmentation").slic
    labels: NDArray[np.integer] = slic(image, n_segments=count, compactness=10, start_label=0)
    return labels


def opencv_slic(image: Pixels, count: int) -> NDArray[np.integer]:
    """SLIC of OpenCV's contributed modules (Achanta et al. 2012)."""
    cv2 = _opencv()
    return _opencv_slic(image, count, cv2.ximgproc.SLIC)


def opencv_slico(image: Pixels, count: int) -> NDArray[np.integer]:
    """SLICO of OpenCV's contributed modules: SLIC that adapts the compactness to each superpixel."""
    cv2 = _opencv()
    return _opencv_slic(image, count, cv2.ximgproc.SLICO)


def opencv_lsc(image: Pixels, count: int) -> NDArray[np.integer]:
    """LSC of OpenCV's contributed modules (Li and Chen 2015)."""
    cv2 = _opencv()
    return _iterate(cv2.ximgproc.createSuperpixelLSC(_blurred_lab(image), _cell_side(image, count), 0.075))


def opencv_seeds(image: Pixels, count: int) -> NDArray[np.integer]:
    """SEEDS of OpenCV's contributed modules (Van den Bergh et al. 2012).

    Settings of OpenCV's sample, except for 3 levels of blocks instead of 4: real counts are closer to the
    wanted ones, at about the same quality.
    """
    cv2 = _opencv()
    height, width = image.shape[:2]
    seeds = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, 3, count, num_levels=3, prior=2, histogram_bins=5, double_step=False
    )
    seeds.iterate(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), ITERATIONS)
    labels: NDArray[np.integer] = seeds.getLabels()
    return labels


def fast_slic(image: Pixels, count: int) -> NDArray[np.integer]:
    """The AVX2 build of fast-slic (Kim 2019), which converts to Lab itself."""
    slic = importlib.import_module("fast_slic.avx2").SlicAvx2(num_components=count, num_threads=1)
    labels: NDArray[np.integer] = slic.iterate(image)
    return labels


PEERS: dict[str, Segment] = {
    "skimage SLIC": skimage_slic,
    "OpenCV SLIC": opencv_slic,
    "OpenCV SLICO": opencv_slico,
    "OpenCV LSC": opencv_lsc,
    "OpenCV SEEDS": opencv_seeds,
    "fast-slic": fast_slic,
}


def versions() -> dict[str, str]:
    """Return the versions of the compared packages that are installed."""
    wanted = ("superpixel-service", "numpy", "scikit-image", "opencv-contrib-python-headless", "fast-slic")
    found: dict[str, str] = {}
    for name in wanted:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _opencv() -> Any:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return cv2


def _opencv_slic(image: Pixels, count: int, algorithm: int) -> NDArray[np.integer]:
    side = _cell_side(image, count)
    return _iterate(_opencv().ximgproc.createSuperpixelSLIC(_blurred_lab(image), algorithm, side, 10.0))


def _iterate(superpixels: Any) -> NDArray[np.integer]:
    superpixels.iterate(ITERATIONS)
    superpixels.enforceLabelConnectivity()
    labels: NDArray[np.integer] = superpixels.getLabels()
    return labels


def _blurred_lab(image: Pixels) -> Pixels:
    """Apply the preparation that OpenCV recommends for SLIC and LSC: a 3x3 Gaussian blur, then Lab."""
    cv2 = _opencv()
    lab: Pixels = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB)
    return lab


def _cell_side(image: Pixels, count: int) -> int:
    return max(1, round(math.sqrt(image.shape[0] * image.shape[1] / count)))
