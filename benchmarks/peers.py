"""Other implementations of superpixels, each as one function from an image and a wanted count to a label map.

Every one runs on one thread at its own defaults; where its documentation recommends a preparation of the
image, it gets that, inside the call: it is part of the work. They are imported on first use, so that what
needs none of them runs without.
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
"""(height, width, 3) RGB and the wanted count to (height, width) labels, as the peer delivers them: any
integers, with or without gaps. How many distinct ones there are is the peer's real count."""

ITERATIONS = 10
"""Of the peers that leave it to the caller; what the others have as their default."""


def skimage_slic(image: Pixels, count: int) -> NDArray[np.integer]:
    """SLIC of scikit-image (Achanta et al. 2012), which converts to Lab itself."""
    slic = importlib.import_module("skimage.segmentation").slic
    labels: NDArray[np.integer] = slic(image, n_segments=count, compactness=10, start_label=0)
    return labels


def opencv_slic(image: Pixels, count: int) -> NDArray[np.integer]:
    """SLIC of OpenCV's contributed modules."""
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

    Settings of OpenCV's sample, but 3 levels of blocks in place of 4: the counts come nearer to what is
    wanted, at much the same quality.
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
    """The version of each distribution behind the figures; without those that are not installed."""
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
    """What OpenCV's documentation recommends for SLIC and LSC: a 3x3 Gaussian, then Lab."""
    cv2 = _opencv()
    lab: Pixels = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB)
    return lab


def _cell_side(image: Pixels, count: int) -> int:
    return max(1, round(math.sqrt(image.shape[0] * image.shape[1] / count)))
