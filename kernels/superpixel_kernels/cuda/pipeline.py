"""All stages in order, on one device and stream: an image in, base labels and merge records out."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.cuda import color, components, cut, graph, merge, slic, smooth, tile
from superpixel_kernels.cuda import guidance as guides
from superpixel_kernels.cuda.clock import Clock, Observer
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.device import Device, DeviceArray
from superpixel_kernels.cuda.results import OnDevice, Segmentation
from superpixel_kernels.cuda.room import Call
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import (
    EDGES_PER_PIXEL,
    EDGES_PER_REGION,
    STAMPS,
    UNGUIDED,
    Counter,
    Grid,
    GuidanceKind,
    Layout,
    Tuning,
    Workspace,
    at_once,
    grid_of,
    whole_layout,
)
from superpixel_kernels.guidance import FittedGuidance

_KEPT_RECORDS = 16
"""Number of sizes and settings that recorded launches are kept for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a segmentation, and what the kernels compute from them."""

    compactness: float

    @property
    def m2(self) -> int:
        """Weight of the distance in space, in stage assign."""
        return _engine.slic_m2(self.compactness)

    def merge_params(self, step: int) -> tuple[float, float]:
        """Weight of the shape factor and area of a grid cell, for stage merge; `step` is 1 for pixels."""
        return _engine.merge_params(self.compactness, step)


_Attempt = tuple[Stage, Clock, NDArray[np.uint32]]
"""An image after its stages: the stage, its clock, and the counters."""


class Pipeline:
    """Segments one image after another. For one thread at a time.

    Args:
        device: the device to run on.
        limit_bytes: cap on the device memory for one image; None: all of the device's.
        tuning: sizes of blocks.
        graphs: from the third image of a size on, launch all stages after color at once (a CUDA graph). Not
            for images with guidance.
    """

    def __init__(
        self,
        device: Device,
        *,
        limit_bytes: int | None = None,
        tuning: Tuning | None = None,
        graphs: bool = True,
    ) -> None:
        self.device = device
        self._graphs = graphs
        self.workspace = Workspace(device, limit_bytes=limit_bytes)
        self.tuning = tuning or Tuning()
        self._tables = color.Tables(device)

    def run(
        self,
        image: NDArray[np.uint8] | DeviceImage,
        size: tuple[int, int],
        settings: Settings,
        cancel: CancelToken | None = None,
        observe: Observer | None = None,
        guidance: FittedGuidance | None = None,
        on_regions: Callable[[int], None] | None = None,
        call: Call | None = None,
    ) -> OnDevice:
        """Run all stages, and leave the results on the device until the next call.

        Args:
            image: (height, width, 1 or 3) uint8, C order, in host memory; or an image on the device.
            size: height and width.
            settings: the parameters.
            cancel: stops or pauses the call between stages.
            observe: called after each stage.
            guidance: maps of the image's size; None: no guidance.
            on_regions: called with the number of base regions when it is known. It may raise.
            call: waits if the device has too little memory; None: that is an error at once.

        Raises:
            OutOfMemory: the image needs more memory than the device has free, or than the cap.
            DeviceLost: the device failed.
            Cancelled: `cancel` was set.
        """
        height, width = size
        grid = grid_of(width, height)
        kind = guides.kind_of(guidance)
        as_graph = self._graphs and guidance is None and observe is None

        def attempt(nodes: int, passes: int) -> _Attempt:
            stage = self._stage(grid, image, nodes, EDGES_PER_REGION, kind, call)
            clock = Clock(stage, cancel, observe)
            guide = None
            if guidance is not None:
                guide = guides.upload(self.device, self.workspace, guidance, passes)
            self._converted(stage, clock, image)
            if as_graph:
                self._recorded(stage, clock, settings)
            else:
                self._stages(stage, clock, settings, kind, guide)
            counters = self._counters()
            if on_regions is not None:
                with nullcontext() if call is None else call.outside():
                    on_regions(int(counters[Counter.REGIONS]))
            return stage, clock, counters

        stage, clock, counters = self._with_room(grid, attempt)
        regions = int(counters[Counter.REGIONS])
        return OnDevice(
            self.workspace["labels"][: grid.pixels],
            merge.sorted_records(stage, regions - 1, kind),
            regions,
            clock.seconds(counters[STAMPS:]),
            regions - int(counters[Counter.FIRST_RECORDS]) if kind.prior == "hard" else None,
        )

    def compute_tile(
        self,
        crop: NDArray[np.uint8],
        step: int,
        window: tile.Window,
        settings: Settings,
        cancel: CancelToken | None = None,
        guidance: FittedGuidance | None = None,
        call: Call | None = None,
    ) -> tile.TileParts:
        """All stages up to graph, on one tile of an image and its margin.

        Args:
            crop: (height, width, 1 or 3) uint8, C order: the tile and its margin. It begins on a border of
                grid cells.
            step: side of a grid cell of the image, in pixels.
            window: the tile's pixels in the crop: y0, y1, x0, x1.
            settings: the parameters.
            cancel: stops or pauses the call between stages.
            guidance: maps of the crop's size; None: no guidance.
            call: as for `run`.

        Raises:
            OutOfMemory, DeviceLost, Cancelled: as for `run`.
        """
        height, width, channels = crop.shape
        grid = grid_of(width, height, step)
        kind = guides.kind_of(guidance)

        def attempt(nodes: int, passes: int) -> _Attempt:
            layout = tile.layout(grid, channels, nodes, self.tuning, kind)
            self.workspace.make_room(layout, at_once if call is None else call.allocate)
            stage = Stage(self.device, self.workspace, grid, self.tuning, nodes)
            clock = Clock(stage, cancel)
            guide = None
            if guidance is not None:
                guide = guides.upload(self.device, self.workspace, guidance, passes)
            self._converted(stage, clock, crop)
            self._labelled(stage, clock, settings, kind)
            clock.begin_step()
            graph.build(stage, guide, by_label=False)
            clock.done("graph")
            tile.find_regions(stage, window)
            return stage, clock, self._counters()

        stage, _, counters = self._with_room(grid, attempt)
        return tile.download(
            stage, window, kind, int(counters[Counter.REGIONS]), int(counters[Counter.EDGES])
        )

    def segment(
        self,
        image: NDArray[np.uint8] | DeviceImage,
        size: tuple[int, int],
        settings: Settings,
        cancel: CancelToken | None = None,
        observe: Observer | None = None,
        guidance: FittedGuidance | None = None,
        on_regions: Callable[[int], None] | None = None,
        call: Call | None = None,
    ) -> Segmentation:
        """The same as `run`, with the results in host memory."""
        made = self.run(image, size, settings, cancel, observe, guidance, on_regions, call)
        labels = self.device.host_array(size, np.int32)
        self.device.download(made.labels, labels.reshape(-1))
        records = self._download(made.records, made.regions - 1)
        return Segmentation(labels, records, made.seconds, made.prior_components)

    def pixel_merges(
        self,
        image: NDArray[np.uint8] | DeviceImage,
        base_labels: NDArray[np.int32],
        settings: Settings,
        cancel: CancelToken | None = None,
        call: Call | None = None,
    ) -> NDArray[np.int32]:
        """The merges of the pixels inside each base region.

        Args:
            image: as for `segment`.
            base_labels: (height, width) int32, as `segment` returns them.
            settings: the parameters.
            cancel: stops or pauses the call between stages.
            call: as for `run`.

        Returns:
            (pixels - regions, 4) int32 records.

        Raises:
            OutOfMemory, DeviceLost, Cancelled: as for `segment`.
        """
        height, width = base_labels.shape
        grid = grid_of(width, height)
        stage = self._stage(grid, image, grid.pixels, EDGES_PER_PIXEL, call=call)
        clock = Clock(stage, cancel)
        self._converted(stage, clock, image)
        self._smoothed(stage, clock)
        self.device.upload(
            np.ascontiguousarray(base_labels).reshape(-1), self.workspace["labels"][: grid.pixels]
        )
        clock.begin_step()
        graph.build_pixels(stage)
        clock.done("graph")
        clock.begin_step()
        k4, cell_area = settings.merge_params(1)
        merge.merge(stage, edges_per_node=EDGES_PER_PIXEL, k4=k4, cell_area=cell_area)
        count = int(self._counters()[Counter.RECORDS])
        return self._download(merge.sorted_records(stage, count), count)

    def cut(
        self, base_labels: NDArray[np.int32], records: NDArray[np.int32], nodes: int, count: int
    ) -> NDArray[np.int32]:
        """Compute the labels of exactly `count` superpixels on the device.

        Args:
            base_labels: (height, width) int32.
            records: (merges, 4) int32: merges of the base regions, or of the pixels.
            nodes: number of base regions; or of pixels, if `records` are merges of pixels.
            count: nodes - merges to nodes.

        Returns:
            (height, width) int32.
        """
        height, width = base_labels.shape
        grid = grid_of(width, height)
        workspace = self.workspace
        layout = self._layout(grid, 0, max(nodes, grid.regions_guess), EDGES_PER_REGION)
        workspace.make_room(layout | {"cut": (np.int32, grid.pixels)})
        stage = Stage(self.device, workspace, grid, self.tuning, nodes)
        base = workspace["labels"][: grid.pixels]
        self.device.upload(np.ascontiguousarray(base_labels).reshape(-1), base)
        on_device = workspace["records"][: 4 * len(records)]
        if len(records) > 0:
            self.device.upload(np.ascontiguousarray(records).reshape(-1), on_device)
        labels = workspace["cut"][: grid.pixels]
        cut.cut(stage, on_device, nodes, count, labels, None if nodes == grid.pixels else base)
        result = np.empty((height, width), np.int32)
        self.device.download(labels, result.reshape(-1))
        return result

    def _with_room(self, grid: Grid, attempt: Callable[[int, int], _Attempt]) -> _Attempt:
        """Call `attempt` with the nodes to make room for and the passes over a prior, until both suffice."""
        # If an earlier image made room for more regions, use it: noise then needs no second pass.
        nodes = max(grid.regions_guess, min(self.workspace.room("into"), grid.pixels // 3))
        passes = 1
        while True:
            stage, clock, counters = attempt(nodes, passes)
            regions = int(counters[Counter.REGIONS])
            if regions > stage.node_capacity:
                nodes = regions  # more than guessed: the kernels of graph and merge did nothing
            elif counters[Counter.PAIRS_LEFT_OUT]:
                passes *= 4
            else:
                return stage, clock, counters

    def _stage(
        self,
        grid: Grid,
        image: object,
        nodes: int,
        edges_per_node: int,
        kind: GuidanceKind = UNGUIDED,
        call: Call | None = None,
    ) -> Stage:
        image_bytes = image.nbytes if isinstance(image, np.ndarray) else 0
        layout = self._layout(grid, image_bytes, nodes, edges_per_node, kind)
        self.workspace.make_room(layout, at_once if call is None else call.allocate)
        return Stage(self.device, self.workspace, grid, self.tuning, nodes)

    def _layout(
        self, grid: Grid, image_bytes: int, nodes: int, edges_per_node: int, kind: GuidanceKind = UNGUIDED
    ) -> Layout:
        return whole_layout(grid, image_bytes, nodes, edges_per_node, self.tuning, kind)

    def _converted(self, stage: Stage, clock: Clock, image: NDArray[np.uint8] | DeviceImage) -> None:
        if isinstance(image, np.ndarray):
            data = self.workspace["image"][: image.nbytes]
            self.device.upload(image.reshape(-1), data)
            channels = image.shape[2]
            image = DeviceImage(data, (channels * stage.grid.width, channels, 1), channels)
        clock.begin_step()
        color.convert(stage, image, self._tables)
        clock.done("color")

    def _smoothed(self, stage: Stage, clock: Clock) -> None:
        clock.begin_step()
        smooth.smooth(stage)
        clock.done("smooth")

    def _recorded(self, stage: Stage, clock: Clock, settings: Settings) -> None:
        """Run the stages after color as one step.

        The second image of a size records them: by then all kernels are loaded, and arguments are made.
        """
        recorded = self.workspace.recorded
        key = (stage.grid, stage.node_capacity, settings.compactness.hex())
        clock.begin_step()
        before = clock.names

        def stages() -> None:
            uninterrupted = Clock(stage, None, done=before)
            self._stages(stage, uninterrupted, settings, UNGUIDED, None)
            clock.names = uninterrupted.names

        launch, names = recorded.get(key) or (None, [])
        if names and launch is None:
            launch = self.device.record(stages)
        if launch is None:
            stages()
        else:
            launch()
            clock.names = names
        if key not in recorded and len(recorded) >= _KEPT_RECORDS:
            recorded.clear()
        recorded[key] = (launch, clock.names)

    def _stages(
        self, stage: Stage, clock: Clock, settings: Settings, kind: GuidanceKind, guide: guides.Guide | None
    ) -> None:
        """All stages after color."""
        self._labelled(stage, clock, settings, kind)
        clock.begin_step()
        graph.build(stage, guide)
        clock.done("graph")
        clock.begin_step()
        k4, cell_area = settings.merge_params(stage.grid.step)
        merge.merge(stage, edges_per_node=EDGES_PER_REGION, k4=k4, cell_area=cell_area, kind=kind)
        clock.done("merge")

    def _labelled(self, stage: Stage, clock: Clock, settings: Settings, kind: GuidanceKind) -> None:
        """The stages from smooth to components."""
        self._smoothed(stage, clock)
        clock.begin_step()
        slic.sum_cells(stage)
        for iteration in range(slic.ITERATIONS):
            clock.begin_step()
            slic.update(stage)
            clock.done("update")
            clock.begin_step()
            last = iteration + 1 == slic.ITERATIONS
            slic.assign(stage, settings.m2, with_sums=not last, with_labels=last or clock.observed)
            clock.done("assign")
        clock.begin_step()
        components.label(stage, hard_prior=kind.prior == "hard")
        clock.done("components")

    def _counters(self) -> NDArray[np.uint32]:
        array = self.workspace["counters"]
        counters = np.empty(array.size, np.uint32)
        self.device.download(array, counters)
        return counters

    def _download(self, records: DeviceArray, count: int) -> NDArray[np.int32]:
        rows = self.device.host_array((count, 4), np.int32)
        if count > 0:
            self.device.download(records[: 4 * count], rows.reshape(-1))
        return rows
