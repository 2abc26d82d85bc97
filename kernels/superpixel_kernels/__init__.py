"""Nested superpixels: an image in, every count of superpixels out.

```
hierarchy = segment(image, SegmentParams(compactness=10.0))
labels = hierarchy.cut(400)                                  # (H, W) int32, exactly 400 labels
data = hierarchy.encode(1600, include_hierarchy=True)        # bytes for a browser, with every coarser count
```

docs/algorithm.md specifies the result; it is the same to the bit on every backend, machine and thread count.
"""

from numpy.typing import ArrayLike

from superpixel_kernels import errors
from superpixel_kernels.backends import Backend, available_backends, choose_backend
from superpixel_kernels.cpu import _engine
from superpixel_kernels.cpu._engine import CancelToken, Workspace, available_instruction_sets
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.hierarchy import MERGE_DTYPE, Hierarchy, as_merges
from superpixel_kernels.params import (
    ALGORITHM_VERSION,
    DEFAULT_COMPACTNESS,
    MAX_COMPACTNESS,
    MAX_PIXELS,
    SegmentParams,
)
from superpixel_kernels.pixels import as_pixels

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT_COMPACTNESS",
    "MAX_COMPACTNESS",
    "MAX_PIXELS",
    "MERGE_DTYPE",
    "Backend",
    "CancelToken",
    "Hierarchy",
    "SegmentParams",
    "Workspace",
    "available_backends",
    "available_instruction_sets",
    "errors",
    "segment",
]

MAX_THREADS = 1024


def segment(
    image: ArrayLike,
    params: SegmentParams | None = None,
    *,
    backend: Backend = "auto",
    threads: int = 0,
    cancel: CancelToken | None = None,
    workspace: Workspace | None = None,
) -> Hierarchy:
    """Segment an image into nested superpixels.

    Args:
        image: (H, W, 3) RGB, (H, W, 4) RGBA (straight alpha, composited on white), (H, W, 1) or (H, W) gray;
            uint8, any strides; 1 to `MAX_PIXELS` pixels. It is copied: later changes to it do not matter.
        params: compactness; the default is `SegmentParams()`.
        backend: "auto" for the fastest that can run here, "cpu", or "cuda".
        threads: threads within this image; 0 for all cores. The result does not depend on it.
        cancel: a token; once it is cancelled, the call stops at the next stage or merge round.
        workspace: scratch memory and threads to reuse (then `threads` must be 0); one call at a time each.

    Raises:
        InvalidImage: wrong dtype, shape or size.
        InvalidParameter: another argument is out of range.
        BackendUnavailable: the backend cannot run here; the message says what is missing.
        Cancelled: `cancel` was set.
    """
    params = SegmentParams() if params is None else params
    if not isinstance(params, SegmentParams):
        raise InvalidParameter("params", f"must be SegmentParams, got {type(params).__name__}")
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= MAX_THREADS:
        raise InvalidParameter("threads", f"must be an integer from 0 to {MAX_THREADS}, got {threads!r}")
    if cancel is not None and not isinstance(cancel, CancelToken):
        raise InvalidParameter("cancel", f"must be a CancelToken, got {type(cancel).__name__}")
    if workspace is not None and threads != 0:
        raise InvalidParameter("threads", "is the workspace's own where one is given; leave it 0")
    chosen = choose_backend(backend)
    if workspace is None:
        workspace = Workspace(threads=threads)
    pixels = as_pixels(image, workspace)
    _, labels, rows, seconds = _engine.segment(pixels, params.compactness, workspace, cancel)
    return Hierarchy(
        pixels,
        labels,
        as_merges(rows),
        params,
        backend=chosen,
        threads=workspace.threads,
        timings=seconds,
    )
