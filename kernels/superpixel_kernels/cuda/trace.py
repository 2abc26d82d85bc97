"""The results of every stage, for comparing engines stage by stage."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cuda import slic
from superpixel_kernels.cuda.device import DeviceArray
from superpixel_kernels.cuda.guidance import kind_of
from superpixel_kernels.cuda.pipeline import Pipeline
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import EDGES_PER_REGION, Counter, GuidanceKind
from superpixel_kernels.guidance import FittedGuidance


def trace(
    pixels: NDArray[np.uint8],
    compactness: float,
    pipeline: Pipeline,
    guidance: FittedGuidance | None = None,
) -> dict[str, Any]:
    """Run the pipeline and keep the result of each stage.

    Args:
        pixels: (height, width, 1 or 3) uint8, C order.
        compactness: 0 to 100.
        pipeline: the pipeline to run.
        guidance: maps of the image's size.

    Returns:
        The same names, shapes and dtypes as `superpixel_kernels.cpu._engine.trace`.
    """
    height, width = pixels.shape[:2]
    stages: dict[str, Any] = {"centers": [], "assign": []}
    device = pipeline.device

    def host(array: DeviceArray, count: int) -> NDArray[Any]:
        copy = np.empty(count, array.dtype)
        device.download((array[:count], copy))
        return copy

    def observe(name: str, stage: Stage) -> None:
        workspace, count = stage.workspace, stage.grid.pixels
        counters = host(workspace["counters"], len(Counter))
        regions = int(counters[Counter.REGIONS])
        if name in ("color", "smooth"):
            stages[name] = _planes(host(workspace[name], count).reshape(height, width))
        elif name == "update":
            cells = stage.grid.cells
            stages["centers"].append(
                np.ascontiguousarray(host(workspace["centers"], 5 * cells).reshape(5, -1).T)
            )
        elif name == "assign":
            stages["assign"].append(host(workspace["labels"], count).reshape(height, width))
        elif name == "graph" and regions <= stage.node_capacity:
            nodes = host(workspace["nodes"], 4 * regions).reshape(-1, 4)
            sums = (nodes[:, 3] & np.uint64(0xFFFFFFFF), *nodes[:, :3].T)
            stages["nodes"] = np.stack(sums, axis=1, dtype=np.int64, casting="unsafe")
            inner, outer = int(counters[Counter.EDGES]), int(counters[Counter.OUTER_EDGES])
            last = EDGES_PER_REGION * stage.node_capacity
            keys, lengths, contrasts = (
                np.concatenate([(whole := host(workspace[name], last))[:inner], whole[last - outer :]])
                for name in ("edge_key", "edge_len", "edge_cs")
            )
            columns = (keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF), lengths, contrasts)
            rows = np.stack(columns, axis=1, dtype=np.int64, casting="unsafe")
            stages["edges"] = rows[np.argsort(keys)]
            stages.update(_guides(kind, stages["nodes"][:, 0], lambda name: host(workspace[name], regions)))
        elif name == "merge" and regions <= stage.node_capacity:
            stages["rounds"] = int(counters[Counter.FIRST_ROUNDS] + counters[Counter.ROUNDS])

    kind = kind_of(guidance)
    result = pipeline.segment(pixels, (height, width), Settings(compactness), None, observe, guidance)
    # If there were more regions than guessed, a second pass has appended to these lists.
    for name in ("centers", "assign"):
        stages[name] = stages[name][-slic.ITERATIONS :]
    if result.prior_components is not None:
        stages["prior_components"] = result.prior_components
    return stages | {"base": result.labels, "merges": result.records}


def _guides(
    kind: GuidanceKind, sizes: NDArray[np.int64], array: Callable[[str], NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """What each region has of the maps that there are."""
    made: dict[str, NDArray[Any]] = {}
    if kind.edges:
        made["edge_levels"] = (array("edge_sum").astype(np.int64) // sizes).astype(np.int32)
    if kind.prior is not None:
        made["prior_labels"] = (~array("share").astype(np.uint32)).astype(np.int32)
    if kind.importance:
        made["importance"] = array("importance_sum").astype(np.int64)
        made["importance"] += 32 * sizes
    return made


def _planes(lab: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Unpack Lab to three planes; the bits are as in device.cuh."""
    return np.stack([lab & 0x3FF, lab >> 10 & 0x7FF, lab >> 21]).astype(np.int16)
