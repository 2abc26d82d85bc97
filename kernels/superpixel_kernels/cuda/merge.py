"""Launcher of stage merge."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from superpixel_kernels.cuda import graph, guidance
from superpixel_kernels.cuda.device import Argument, Device, DeviceArray
from superpixel_kernels.cuda.graph import EDGES, NODE_STATE, NODES, TABLE, arrays
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import UNGUIDED, GuidanceKind

SORT_TILE = 1024
"""Records that one block sorts; the same number as in merge.cu."""


def merge(
    stage: Stage, *, edges_per_node: int, k4: float, cell_area: float, kind: GuidanceKind = UNGUIDED
) -> None:
    """Run all rounds from the state that stage graph leaves, then sort the records; see `sorted_records`.

    Args:
        stage: the image.
        edges_per_node: the largest number of edges per node.
        k4: weight of the shape factor, as in include/superpixel/merge.h.
        cell_area: area of a grid cell, as there.
        kind: the maps of guidance.
    """
    run = partial(_run, stage, edges_per_node, (k4, cell_area), with_importance=kind.importance)
    run()
    if kind.prior == "hard":
        guidance.rejoin(stage)
        graph.list_edges(stage)
        run()
    _sort(stage)
    if kind.prior == "hard":
        stage.launch_each("merge_unmark", stage.node_capacity, [*stage.counters, sorted_records(stage)])


def _run(stage: Stage, edges_per_node: int, cost: tuple[float, float], *, with_importance: bool) -> None:
    device, workspace, tuning = stage.device, stage.workspace, stage.tuning
    k4, cell_area = cost
    args = stage.arguments(
        "merge_tail",
        k4.hex(),  # 0.0 and -0.0 are equal, but not the same
        cell_area,
        make=lambda: [
            *stage.counters,
            *arrays(stage, NODES, NODE_STATE, EDGES),
            workspace["edge_word"],
            *arrays(stage, TABLE),
            workspace["records"],
            workspace["choosers"],
            np.float64(k4),
            np.float64(cell_area),
            workspace["importance_sum"],
        ],
    )
    threads = tuning.merge_threads
    by_importance = "_by_importance" if with_importance else ""
    rounds = f"merge_rounds{by_importance}"
    resident = device.resident_blocks(rounds, threads)
    capacity = edges_per_node * stage.node_capacity
    few = min(tuning.merge_blocks, resident)
    handed_on = max(tuning.few_edges, tuning.tail_edges)
    # The list of edges is seldom longer than a third of its room.
    begin_together = capacity > 3 * tuning.few_edges or few == resident
    if begin_together:
        blocks = min(-(-capacity // threads), resident)
        _launch_rounds(device, rounds, blocks, threads, args, handed_on, begins=True, few=False)
    if not begin_together or handed_on > tuning.tail_edges:
        _launch_rounds(
            device, rounds, few, threads, args, tuning.tail_edges, begins=not begin_together, few=True
        )
    device.launch(f"merge_tail{by_importance}", 1, threads, args)


def _launch_rounds(
    device: Device,
    kernel: str,
    blocks: int,
    threads: int,
    args: Sequence[Argument],
    enough: int,
    *,
    begins: bool,
    few: bool,
) -> None:
    last = [np.uint32(enough), np.int32(begins), np.int32(few)]
    device.launch(kernel, blocks, threads, [*args, *last], cooperative=True)


def sorted_records(stage: Stage) -> DeviceArray:
    """The array that `merge` leaves its records in: four int32 each (height's bits, round, a, b)."""
    passes = max(0, -(-stage.node_capacity // SORT_TILE) - 1).bit_length()
    return stage.workspace["records_other" if passes % 2 else "records"]


def _sort(stage: Stage) -> None:
    records, other = stage.workspace["records"], stage.workspace["records_other"]
    count = stage.node_capacity
    stage.device.launch(
        "merge_sort_tiles", -(-count // SORT_TILE), SORT_TILE // 2, [*stage.counters, records]
    )
    run = SORT_TILE
    while run < count:
        stage.launch_each("merge_sort_runs", count, [*stage.counters, np.uint32(run), records, other])
        records, other = other, records
        run *= 2
