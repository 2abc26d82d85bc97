"""The choice between the engines, and checks that do not depend on it."""

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels import cuda
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import BackendUnavailable, InvalidParameter
from superpixel_kernels.guidance import FittedGuidance, Guidance, fitted_to
from superpixel_kernels.hierarchy import Hierarchy, as_merges, pixel_merges_on_cpu
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.pixels import as_pixels

Backend = Literal["auto", "cpu", "cuda"]
"""Name of an engine; "auto" is the fastest that can run here."""

MAX_THREADS = 1024
"""Most threads that one call may ask for."""


def checked_params(params: object, threads: object, cancel: object) -> SegmentParams:
    """Check the arguments that all ways to segment share; without `params`, return the default.

    Raises:
        InvalidParameter: one of them has the wrong type or is out of range.
    """
    params = SegmentParams() if params is None else params
    if not isinstance(params, SegmentParams):
        raise InvalidParameter("params", f"must be SegmentParams, got {type(params).__name__}")
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= MAX_THREADS:
        raise InvalidParameter("threads", f"must be an integer from 0 to {MAX_THREADS}, got {threads!r}")
    if cancel is not None and not isinstance(cancel, _engine.CancelToken):
        raise InvalidParameter("cancel", f"must be a CancelToken, got {type(cancel).__name__}")
    return params


@functools.cache
def why_no_cuda(device: int = 0) -> str | None:
    """Why backend "cuda" cannot run on the GPU of this index; None if it can.

    The first call in a process opens the GPU and compiles the kernels, which may take seconds. Later calls
    return the same answer.
    """
    return cuda.why_unavailable(device)


def available_backends() -> tuple[str, ...]:
    """The backends that can run here, fastest first."""
    return ("cpu",) if why_no_cuda() else ("cuda", "cpu")


def choose_backend(wanted: Backend, device: int = 0) -> Literal["cpu", "cuda"]:
    """The backend to use for `wanted`.

    Args:
        wanted: "auto" gives "cuda" if the GPU can be opened, otherwise "cpu"; `why_no_cuda` says why.
        device: index of the GPU.

    Raises:
        InvalidParameter: there is no such backend.
        BackendUnavailable: it cannot run here; the message names what is missing.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise InvalidParameter("backend", f"must be 'auto', 'cpu' or 'cuda', got {wanted!r}")
    if wanted == "auto":
        return "cpu" if why_no_cuda(device) else "cuda"
    if wanted == "cuda" and (why := why_no_cuda(device)):
        raise BackendUnavailable(f"backend 'cuda': {why}")
    return wanted


def segment_on_cpu(
    image: ArrayLike,
    params: SegmentParams,
    workspace: _engine.Workspace,
    cancel: _engine.CancelToken | None,
    threads: int,
    guidance: Guidance | FittedGuidance | None = None,
    on_regions: Callable[[int], None] | None = None,
) -> Hierarchy:
    """Segment with the C++ engine; see `superpixel_kernels.segment`."""
    pixels = as_pixels(image, workspace)
    compactness = params.compactness
    threads_used = threads or workspace.threads
    fitted = fitted_to(guidance, *pixels.shape[:2])
    made = _engine.segment(pixels, compactness, workspace, cancel, threads, fitted, on_regions)
    _, labels, rows, seconds, prior_components = made

    def make_pixel_merges(cancel: _engine.CancelToken | None) -> NDArray[np.int32]:
        return pixel_merges_on_cpu(pixels, labels, compactness, threads_used, cancel)

    return Hierarchy(
        pixels,
        labels,
        as_merges(rows),
        params,
        backend="cpu",
        threads=threads_used,
        timings=seconds,
        make_pixel_merges=make_pixel_merges,
        prior_components=prior_components,
    )
