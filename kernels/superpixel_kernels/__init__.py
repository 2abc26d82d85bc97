"""Nested superpixels: from one image, label maps with any count of superpixels.

```
hierarchy = segment(image, SegmentParams(compactness=10.0))
labels = hierarchy.cut(400)                                  # (H, W) int32, exactly 400 labels
data = hierarchy.encode(1600, include_hierarchy=True)        # bytes for a browser, with all coarser counts
snapped = snap_mask(hierarchy, mask, 400)                    # a rough mask as whole superpixels
labels = slic(image, n_segments=400)                         # as scikit-image's function, with exact counts
means = pool(labels, probabilities)                          # a map of yours, per superpixel
```

docs/algorithm.md specifies the result. It is bit for bit the same on every backend, machine and thread count.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from superpixel_kernels import errors
from superpixel_kernels.acquisition import RankedRegions, rank_regions
from superpixel_kernels.backends import (
    MAX_THREADS,
    Backend,
    available_backends,
    checked_params,
    choose_backend,
    segment_on_cpu,
    why_no_cuda,
)
from superpixel_kernels.codec import OUTSIDE, Adjacency, Regions, measure_adjacency, pool, snap_mask
from superpixel_kernels.cpu._engine import CancelToken, Workspace, available_instruction_sets
from superpixel_kernels.cuda import CudaWorkspace
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.guidance import GUIDANCE_VERSION, FittedGuidance, Guidance, fitted_to
from superpixel_kernels.hierarchy import MERGE_DTYPE, Hierarchy, tree_of_merges
from superpixel_kernels.label_spread import Spread, spread
from superpixel_kernels.like_skimage import slic
from superpixel_kernels.masked import MaskedHierarchy, as_mask, guidance_with_mask
from superpixel_kernels.params import (
    ALGORITHM_VERSION,
    DEFAULT_COMPACTNESS,
    MAX_COMPACTNESS,
    MAX_PIXELS,
    SegmentParams,
)
from superpixel_kernels.pixels import image_size

__all__ = [
    "ALGORITHM_VERSION",
    "DEFAULT_COMPACTNESS",
    "GUIDANCE_VERSION",
    "MAX_COMPACTNESS",
    "MAX_PIXELS",
    "MAX_THREADS",
    "MERGE_DTYPE",
    "OUTSIDE",
    "Adjacency",
    "Backend",
    "CancelToken",
    "CudaWorkspace",
    "FittedGuidance",
    "Guidance",
    "Hierarchy",
    "MaskedHierarchy",
    "RankedRegions",
    "Regions",
    "SegmentParams",
    "Spread",
    "Workspace",
    "available_backends",
    "available_instruction_sets",
    "choose_backend",
    "errors",
    "measure_adjacency",
    "pool",
    "rank_regions",
    "segment",
    "slic",
    "snap_mask",
    "spread",
    "tree_of_merges",
    "why_no_cuda",
]


def segment(
    image: ArrayLike | Any,
    params: SegmentParams | None = None,
    *,
    backend: Backend = "auto",
    threads: int = 0,
    guidance: Guidance | FittedGuidance | None = None,
    mask: ArrayLike | None = None,
    cancel: CancelToken | None = None,
    workspace: Workspace | CudaWorkspace | None = None,
    on_regions: Callable[[int], None] | None = None,
) -> Hierarchy:
    """Segment an image into nested superpixels.

    Args:
        image: (H, W, 3) RGB, (H, W, 4) RGBA (straight alpha, composited on white), (H, W, 1) or (H, W) gray;
            uint8, any strides; 1 to `MAX_PIXELS` pixels. It is copied, so later changes to it have no effect.
            With backend "cuda" also an object with `__cuda_array_interface__`.
        params: compactness; the default is `SegmentParams()`.
        guidance: maps that superpixels follow besides the colours: `Guidance`, or what its method `fitted`
            returns for an image of this size. If it is neutral, every bit is that without guidance.
        mask: (H, W) bool: pixels outside (False) belong to no superpixel; label maps have `OUTSIDE` there. No
            superpixel reaches over pixels outside, unless the count is below the number of the mask's
            4-connected components. The result is a `MaskedHierarchy`, unless all pixels are inside. Not with
            a soft prior.
        backend: "auto" for the fastest that can run here, "cpu", or "cuda".
        threads: threads to use with backend "cpu"; 0 for all cores, or for all threads of the workspace. The
            result does not depend on it.
        cancel: a token that stops or pauses the call at its next stage or merge round.
        workspace: memory and threads to reuse in later calls, for one call at a time: a `Workspace` for
            backend "cpu", a `CudaWorkspace` for "cuda".
        on_regions: called with the number of base regions as soon as it is known; on the CPU this is before
            the stages whose memory grows with it. It may raise, which ends the call. With a mask, the number
            counts the regions outside too.

    Raises:
        InvalidImage: wrong dtype, shape or size.
        InvalidParameter: another argument is out of range.
        BackendUnavailable: the backend cannot run here; the message says what is missing.
        OutOfMemory: the image needs more memory than the GPU has free, or than the workspace's cap.
        DeviceLost: the GPU failed.
        Cancelled: `cancel` was cancelled.
    """
    params = checked_params(params, threads, cancel)
    if mask is not None and (inside := as_mask(mask, *image_size(image))) is not None:
        masked = guidance_with_mask(fitted_to(guidance, *inside.shape), inside)
        whole = segment(
            image,
            params,
            backend=backend,
            threads=threads,
            guidance=masked,
            cancel=cancel,
            workspace=workspace,
            on_regions=on_regions,
        )
        return MaskedHierarchy(whole, inside)
    if workspace is None:
        chosen = choose_backend(backend)
        workspace = CudaWorkspace() if chosen == "cuda" else Workspace(threads=threads)
    elif backend not in ("auto", "cuda" if isinstance(workspace, CudaWorkspace) else "cpu"):
        raise InvalidParameter("workspace", f"belongs to another backend than {backend!r}")
    if isinstance(workspace, CudaWorkspace):
        return workspace.segment(image, params, cancel, guidance, on_regions)
    if threads > workspace.threads:
        raise InvalidParameter(
            "threads", f"must be at most the workspace's {workspace.threads}, got {threads}"
        )
    return segment_on_cpu(image, params, workspace, cancel, threads, guidance, on_regions)
