"""Segments images in this process, and prints the peak memory of each and what the server would charge.

Reads one JSON object per line: pattern, height, width, counts, compactness, encoding, tree, regions, threads,
and perhaps file, guidance and mask.
Writes one JSON object per line: peak, charge, base_count, answer.
"""

import ctypes
import gc
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.peak_memory import peak_bytes, restart_peak
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import GuidanceSpec, MaskSpec, PriorMode, RawMap
from superpixel_service.images.opening import open_task
from superpixel_service.model import EncodedImage, LabelEncoding, RawImage, SegmentSpec, Task
from superpixel_service.transport.convert import serialize_body
from superpixel_service.work import cost
from superpixel_service.work.memory import keep_freed_memory
from superpixel_service.work.segmenter import Segmenter
from tests.service.images import encoded

MAX_ANSWER_BYTES = 128 << 20
LIBC = ctypes.CDLL(None)


def pixels(pattern: str, height: int, width: int) -> NDArray[np.uint8]:
    """An image of a kind that takes much memory."""
    rng = np.random.default_rng(height * 65537 + width)
    rows, columns = np.mgrid[:height, :width]
    odd = ((rows + columns) & 1).astype(np.uint8)
    match pattern:
        case "one bit":
            return rng.integers(0, 2, (height, width, 1), np.uint8) * 255
        case "color":
            return rng.integers(0, 256, (height, width, 3), np.uint8)
        case "alpha":
            return rng.integers(0, 256, (height, width, 4), np.uint8)
        case "checkerboard":
            return odd[:, :, None] * 255
        case "stripes":
            return np.broadcast_to(
                (columns & 1).astype(np.uint8)[:, :, None] * 255, (height, width, 1)
            ).copy()
        case "uneven checkerboard":  # cells whose means differ attract the pixels of their neighbours
            flipped = (rng.random((height, width)) < 0.03) & (((rows // 8 + columns // 8) & 1) == 1)
            return ((odd ^ flipped) * 255).astype(np.uint8)[:, :, None]
        case "flat":
            return np.full((height, width, 3), 90, np.uint8)
    raise ValueError(pattern)


def peak_of(segmenter: Segmenter, task: Task) -> dict[str, Any]:
    """Peak memory of one image over the memory before it, from its bytes to its serialised answer.

    An image whose answer would be too large is charged only what it takes before its regions are known.
    """
    found: list[int] = []
    gc.collect()
    LIBC.malloc_trim(0)
    before = restart_peak()

    def check(regions: int) -> None:
        found.append(regions)
        cost.check_answer_asked(task, regions, MAX_ANSWER_BYTES)

    size = None
    try:
        answer = segmenter.run(
            task,
            on_regions=check,
            on_refinement=check,
            finish=lambda answer: answer.as_message(serialize_body(answer)),
        )
        size = len(answer.message)
    except InvalidRequest as error:
        if error.reason is not Reason.ANSWER_ABOVE_LIMIT:
            raise
    return {
        "peak": peak_bytes() - before,
        "charge": cost.bytes_to_begin(task)
        if size is None
        else max(cost.bytes_with_regions(task, regions) for regions in found),
        "base_count": found[0],
        "answer": size,
    }


def task_of(wanted: dict[str, Any]) -> Task:
    image = pixels(wanted["pattern"], wanted["height"], wanted["width"])
    height, width, channels = image.shape
    file = wanted.get("file")
    source = (
        EncodedImage(encoded(image if channels > 1 else image[:, :, 0], file))
        if file
        else RawImage(width, height, channels, image.tobytes())
    )
    spec = SegmentSpec(
        source,
        target_counts=tuple(wanted["counts"]),
        compactness=wanted["compactness"],
        encoding=LabelEncoding(wanted["encoding"]),
        include_hierarchy=wanted["tree"],
        include_regions=wanted["regions"],
    )
    spec = replace(
        spec,
        guidance=guidance(wanted.get("guidance"), height, width),
        mask=mask(wanted.get("mask"), height, width),
    )
    return open_task(spec, Limits())


def mask(kind: str | None, height: int, width: int) -> MaskSpec | None:
    """The mask of one request: all pixels but the last, or every other row."""
    if kind is None:
        return None
    inside = np.ones((height, width), np.uint8)
    if kind == "rows":
        inside[1::2] = 0
    else:
        inside[-1, -1] = 0
    return MaskSpec(RawMap(width, height, 8, inside.tobytes()))


class Limits:
    """Room for large maps."""

    max_image_bytes = 1 << 30
    max_image_pixels = 1 << 27


def guidance(kind: str | None, height: int, width: int) -> GuidanceSpec | None:
    """Maps that take much memory."""
    if kind is None:
        return None
    rng = np.random.default_rng(5)
    edges = RawMap(width, height, 8, rng.integers(0, 256, (height, width), np.uint8).tobytes())
    if kind == "edges":
        return GuidanceSpec(8, PriorMode.SOFT, 512, edges=edges, importance=edges)
    labels = rng.integers(0, 1 << 30, (height, width), np.uint32) >> 28
    prior = RawMap(width, height, 32, labels.tobytes())
    return GuidanceSpec(1, PriorMode(kind), 512, edges=edges, prior=prior, importance=edges)


def main() -> None:
    keep_freed_memory()
    small = {"pattern": "flat", "height": 64, "width": 64, "compactness": 10.0, "encoding": "png"}
    for line in sys.stdin:
        wanted = json.loads(line)
        # Freed at once, so that the peak of the next image does not hide in what this one leaves.
        segmenter = Segmenter(kernels.Workspace(threads=wanted["threads"], kept_bytes=0))
        segmenter.run(task_of(small | {"counts": [5], "tree": True, "regions": True}))
        print(json.dumps(peak_of(segmenter, task_of(wanted))), flush=True)


if __name__ == "__main__":
    main()
