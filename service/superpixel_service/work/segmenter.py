"""One image from file to label map: decode, segment, encode. Server and command line both use it."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.contract import Reason, StageSeconds
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode
from superpixel_service.images.guidance_maps import decode_guidance
from superpixel_service.images.label_files import to_png, to_raw_gzip
from superpixel_service.images.mask_files import decode_mask
from superpixel_service.images.pixels import Pixels
from superpixel_service.model import (
    Answer,
    LabelEncoding,
    Notice,
    OpenedImage,
    Rectangle,
    Task,
    WrittenMap,
    check_encoding,
)

STAGES = ("decode", "segment", "encode")
"""The stages of an image, in their order."""

ENGINE_STAGES = ("color", "smooth", "assign", "update", "components", "graph", "merge", "cut")
"""The engine's stages, by the names that they have everywhere in the project."""

Workspace = kernels.Workspace | kernels.CudaWorkspace
Decode = Callable[[OpenedImage, Rectangle | None], tuple[Pixels, tuple[Notice, ...]]]


class Segmenter:
    """Segments one image at a time, in one workspace.

    Args:
        workspace: the engine's memory and threads, or its GPU.
        refinement_max_pixels: largest image for counts above its base count.
    """

    def __init__(self, workspace: Workspace, refinement_max_pixels: int = kernels.MAX_PIXELS) -> None:
        self.workspace = workspace
        self._refinement_max_pixels = refinement_max_pixels

    def run(
        self,
        task: Task,
        *,
        decode: Decode = decode,
        threads: Callable[[int], int] = lambda _pixels: 0,
        cancel: kernels.CancelToken | None = None,
        on_stage: Callable[[str], None] = lambda _stage: None,
        on_regions: Callable[[int], None] = lambda _regions: None,
        on_refinement: Callable[[int], None] = lambda _regions: None,
        finish: Callable[[Answer], Answer] = lambda answer: answer,
        clock: Callable[[], float] = time.monotonic,
    ) -> Answer:
        """Segment the image, and free its bytes as soon as they are decoded.

        Args:
            task: an accepted request.
            decode: as `images.decode.decode`; it may free the image's bytes.
            threads: returns the number of threads for a number of pixels; 0: all threads of the workspace.
            cancel: stops or pauses the engine between its steps.
            on_stage: called with the name of each stage before it begins. It may raise to stop the work.
            on_regions: called with the number of base regions when it is known. With a mask, this number
                includes the regions outside. It may raise or wait.
            on_refinement: with a mask, called before refinement with the number of base regions inside. It
                may raise.
            finish: gives the answer its final form, as a part of stage encode; its timings are not set yet.
            clock: measures the stages, in seconds.

        Raises:
            InvalidRequest: the file is damaged, or a count is too large for this image.
            superpixel_kernels.errors.Cancelled: `cancel` was set.
            MemoryError: there is no memory for this image.
        """
        on_stage("decode")
        begun = clock()
        try:
            image_sha256 = task.image.source.sha256()  # `decode` may free the bytes
            pixels, notices = decode(task.image, task.region)
            guidance = _decode_guidance(task, cancel)
            mask = _decode_mask(task, guidance, cancel)
        finally:
            task.release()
        on_stage("segment")
        decoded = clock()
        hierarchy = kernels.segment(
            pixels,
            kernels.SegmentParams() if task.compactness is None else kernels.SegmentParams(task.compactness),
            guidance=guidance,
            mask=mask,
            threads=threads(pixels.shape[0] * pixels.shape[1]),
            cancel=cancel,
            workspace=self.workspace,
            on_regions=on_regions,
        )
        del pixels  # the hierarchy has its own copy
        on_stage("encode")
        segmented = clock()
        mask_pixels = None if mask is None else int(np.count_nonzero(mask))
        counts = task.counts if mask_pixels is None else task.targets.levels(mask_pixels, masked=True)
        counts = counts or (hierarchy.base_count,)
        self._check_refinement(counts[0], hierarchy)
        if mask_pixels is not None and counts[0] > hierarchy.base_count:
            on_refinement(hierarchy.base_count)
        check_encoding(task.encoding, counts[0], masked=mask is not None)
        provenance = _provenance(task, hierarchy.params.compactness, image_sha256, guidance)
        label_map = _write(hierarchy, task, counts, provenance, cancel)
        height, width = hierarchy.shape
        answer = Answer(
            width=width,
            height=height,
            base_count=hierarchy.base_count,
            label_map=label_map,
            counts=counts,
            whole_base=not task.counts,
            notices=notices,
            stages=StageSeconds(),
            engine_seconds=dict(hierarchy.timings),
            backend=hierarchy.backend,
            algorithm_version=kernels.ALGORITHM_VERSION,
            provenance=provenance,
            prior_components=hierarchy.prior_components,
            mask_pixels=mask_pixels,
        )
        del label_map, hierarchy  # the message takes their place
        answer = finish(answer)
        return replace(
            answer,
            stages=StageSeconds(
                decode=decoded - begun, segment=segmented - decoded, encode=clock() - segmented
            ),
        )

    def _check_refinement(self, count: int, hierarchy: kernels.Hierarchy) -> None:
        height, width = hierarchy.shape
        if count > hierarchy.base_count and width * height > self._refinement_max_pixels:
            raise InvalidRequest(
                Reason.COUNT_ABOVE_BASE,
                f"must be at most {hierarchy.base_count}, this image's base count, as it has more than "
                f"{self._refinement_max_pixels} pixels",
                field="target_counts",
                metadata={"base_count": str(hierarchy.base_count)},
            )


def _decode_guidance(task: Task, cancel: kernels.CancelToken | None) -> kernels.FittedGuidance | None:
    if task.guidance is None:
        return None
    if cancel is None:
        return decode_guidance(task.guidance, task.image, task.region)
    return decode_guidance(task.guidance, task.image, task.region, cancel.begin_step)


def _decode_mask(
    task: Task, guidance: kernels.FittedGuidance | None, cancel: kernels.CancelToken | None
) -> NDArray[np.bool_] | None:
    if task.mask is None:
        return None
    if cancel is not None:
        cancel.begin_step()
    return decode_mask(task.mask, task.region, guidance)


def _provenance(
    task: Task, compactness: float, image_sha256: bytes, guidance: kernels.FittedGuidance | None
) -> codec.Provenance:
    return codec.Provenance(
        compactness=compactness,
        position=(0, 0) if task.region is None else (task.region.x, task.region.y),
        picture_size=(task.image.width, task.image.height),
        image_sha256=image_sha256,
        guidance=None if guidance is None else guidance.record,
    )


def _write(
    hierarchy: kernels.Hierarchy,
    task: Task,
    counts: tuple[int, ...],
    provenance: codec.Provenance,
    cancel: kernels.CancelToken | None,
) -> WrittenMap:
    finest, *coarser = counts
    if task.encoding is LabelEncoding.SPX:
        data = hierarchy.encode(
            finest,
            include_hierarchy=task.include_hierarchy,
            include_regions=task.include_regions,
            levels=() if task.include_hierarchy else coarser,
            provenance=provenance,
            cancel=cancel,
        )
        return WrittenMap(task.encoding, data)
    labels = hierarchy.cut(finest, cancel=cancel)
    luts = [hierarchy.lut(finest, count, cancel=cancel) for count in coarser]
    return WrittenMap(
        encoding=task.encoding,
        data=to_png(labels, finest) if task.encoding is LabelEncoding.PNG else to_raw_gzip(labels),
        luts=(np.empty(0, np.int32), *luts),
        tree=hierarchy.tree(finest, cancel=cancel) if task.include_hierarchy else None,
        heights=hierarchy.heights(finest, cancel=cancel) if task.include_hierarchy else None,
        regions=hierarchy.regions(finest, cancel=cancel) if task.include_regions else None,
    )
