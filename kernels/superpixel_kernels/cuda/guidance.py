"""Launchers of what guidance adds to the stages components, graph and merge."""

from dataclasses import dataclass

import numpy as np

from superpixel_kernels.cuda.device import Argument, Device
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import EDGES_PER_REGION, GuidanceKind, Workspace
from superpixel_kernels.guidance import FittedGuidance

TILE_HEIGHT = 8

_TABLE = ("table_key", "table_len", "table_cs")
_EDGES = ("edge_key", "edge_len", "edge_cs")


@dataclass(frozen=True, slots=True)
class Guide:
    """The guidance of one image, whose maps are in the workspace.

    Attributes:
        kind: which maps there are.
        edge_weight: 1 to 8; 0 without an edge map.
        prior_weight: 1 to 512; 0 without a prior map, and with a hard one.
        passes: number of passes over the image in which the prior labels of the regions are counted.
    """

    kind: GuidanceKind
    edge_weight: int
    prior_weight: int
    passes: int


def kind_of(guidance: FittedGuidance | None) -> GuidanceKind:
    """Which maps a guidance has."""
    if guidance is None:
        return GuidanceKind()
    prior = None if guidance.prior is None else guidance.prior_mode
    return GuidanceKind(guidance.edges is not None, prior, guidance.importance is not None)


def upload(device: Device, workspace: Workspace, guidance: FittedGuidance, passes: int) -> Guide:
    """Copy the maps to the workspace."""
    maps = {
        "edge_map": guidance.edges,
        "prior_map": guidance.prior,
        "importance_map": guidance.importance,
    }
    for name, values in maps.items():
        if values is not None:
            device.upload(values.reshape(-1), workspace[name][: values.size])
    kind = kind_of(guidance)
    return Guide(
        kind,
        edge_weight=guidance.edge_weight if kind.edges else 0,
        prior_weight=guidance.prior_weight if kind.prior == "soft" else 0,
        passes=passes,
    )


def add_sides(stage: Stage, guide: Guide) -> None:
    """Add the sides between base regions to the table of edges, as stage graph does without guidance."""
    workspace, kind = stage.workspace, guide.kind
    labels = (workspace["labels"], *stage.size)
    with_maps = [np.int32(kind.edges), np.int32(kind.importance), np.int32(kind.prior is not None)]
    sums = [workspace[name] for name in ("edge_sum", "importance_sum", "share")]
    pairs = [value for both in zip(sums, with_maps, strict=True) for value in both]
    stage.launch_each("guidance_clear", stage.node_capacity, [*stage.counters, *pairs])
    if kind.edges or kind.importance:
        maps = [workspace["edge_map"], with_maps[0], workspace["importance_map"], with_maps[1]]
        stage.launch_tiles("guidance_sums", TILE_HEIGHT, [*stage.counters, *labels, *maps, sums[0], sums[1]])
    if kind.prior == "soft":
        _find_majorities(stage, guide.passes)
    elif kind.prior == "hard":
        pixels = [workspace["labels"], workspace["prior_map"], np.int32(stage.grid.pixels)]
        stage.launch_each(
            "guidance_labels", stage.grid.pixels, [*stage.counters, *pixels, workspace["share"]]
        )
    stage.launch_tiles(
        "guidance_sides",
        TILE_HEIGHT,
        [
            *stage.counters,
            workspace["smooth"],
            *labels,
            workspace["nodes"],
            workspace["edge_map"],
            np.int32(guide.edge_weight),
            workspace["edge_sum"],
            np.int32(guide.prior_weight),
            workspace["share"],
            *_arrays(stage, _TABLE),
        ],
    )


def _find_majorities(stage: Stage, passes: int) -> None:
    workspace = stage.workspace
    table = (workspace["table_key"], workspace["table_len"])
    for number in range(passes):
        which = (np.uint32(number), np.uint32(passes))
        image = (workspace["labels"], *stage.size, workspace["prior_map"])
        stage.launch_tiles("guidance_pairs", TILE_HEIGHT, [*stage.counters, *image, *which, *table])
        stage.launch_each(
            "guidance_majority",
            EDGES_PER_REGION * stage.node_capacity,
            [*stage.counters, *table, workspace["share"]],
        )


def list_by_label(stage: Stage) -> None:
    """Move the edges inside one prior label to the list of edges, and all others to its end."""
    for outer in (0, 1):
        share = stage.workspace["share"]
        args = [*stage.counters, np.int32(outer), share, *_arrays(stage, _TABLE, _EDGES)]
        stage.launch_each("guidance_list", EDGES_PER_REGION * stage.node_capacity, args)


def rejoin(stage: Stage) -> None:
    """After the first run of the merge, put the edges at the list's end into the table of edges."""
    names = ("into", "nodes", "best", "tie")
    stage.launch_each(
        "guidance_rejoin",
        EDGES_PER_REGION * stage.node_capacity,
        [*stage.counters, *_arrays(stage, _EDGES, names, _TABLE)],
    )


def _arrays(stage: Stage, *groups: tuple[str, ...]) -> list[Argument]:
    return [stage.workspace[name] for group in groups for name in group]
