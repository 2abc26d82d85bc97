"""All stages in order, on one device and stream: an image in, base labels and merge records out."""

from __future__ import annotations  # evaluating those of inner functions takes time per image

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.cuda import color, cut, graph, merge, stages, tile
from superpixel_kernels.cuda import guidance as guides
from superpixel_kernels.cuda.clock import Clock, Observer
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.device import Device, DeviceArray
from superpixel_kernels.cuda.results import OnDevice, Segmentation, ToHost
from superpixel_kernels.cuda.room import Call
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import (
    COUNTERS,
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


_Attempt = tuple[Stage, Clock, NDArray[np.uint32]]
"""An image after its stages: the stage, its clock, and the counters."""


class Pipeline:
    """Segments one image after another. For one thread at a time.

    Args:
        device: the device to run on.
        limit_bytes: cap on the device memory for one image; None: all of the device's.
        tuning: sizes of blocks.
        graphs: from the third image of a size on, launch all stages at once (a CUDA graph); all but color if
            the image is on the device. Not for images with guidance.
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
        self._counters_host = device.host_array((COUNTERS,), np.uint32)

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
        to_host: ToHost | None = None,
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
            to_host: labels and records also go there: with the counters, so that the host waits once.

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
            on_device = self._uploaded(grid, image)
            is_callers = on_device is image  # each one is somewhere else
            if is_callers or not as_graph:
                stages.convert(stage, clock, on_device, self._tables)
            if as_graph:
                self._recorded(stage, clock, settings, None if is_callers else on_device)
            else:
                stages.label_and_merge(stage, clock, settings, kind, guide)
            counters = self._counters(*self._copies(stage, to_host))
            if on_regions is not None:
                with nullcontext() if call is None else call.outside():
                    on_regions(int(counters[Counter.REGIONS]))
            return stage, clock, counters

        stage, clock, counters = self._with_room(grid, attempt)
        regions = int(counters[Counter.REGIONS])
        return OnDevice(
            self.workspace["labels"][: grid.pixels],
            merge.sorted_records(stage),
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
            stages.convert(stage, clock, self._uploaded(grid, crop), self._tables)
            stages.label(stage, clock, settings, kind)
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
        guess = grid_of(size[1], size[0]).records_guess
        to_host = ToHost(self.device.host_array(size, np.int32), self.device.host_array((guess, 4), np.int32))
        made = self.run(image, size, settings, cancel, observe, guidance, on_regions, call, to_host)
        merges = made.regions - 1
        records = to_host.records[:merges] if merges <= guess else self._download(made.records, merges)
        return Segmentation(to_host.labels, records, made.seconds, made.prior_components)

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
        stages.convert(stage, clock, self._uploaded(grid, image), self._tables)
        stages.smooth_colors(stage, clock)
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
        return self._download(merge.sorted_records(stage), count)

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
        self.device.download((labels, result.reshape(-1)))
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

    def _uploaded(self, grid: Grid, image: NDArray[np.uint8] | DeviceImage) -> DeviceImage:
        """The image in device memory; one of the host goes to the workspace."""
        if isinstance(image, DeviceImage):
            return image
        data = self.workspace["image"][: image.nbytes]
        self.device.upload(image.reshape(-1), data)
        channels = image.shape[2]
        return DeviceImage(data, (channels * grid.width, channels, 1), channels)

    def _recorded(self, stage: Stage, clock: Clock, settings: Settings, image: DeviceImage | None) -> None:
        """Run the stages, from the third image of a size on as one step.

        The second image of a size records them: by then all kernels are loaded, and arguments are made.

        Args:
            stage: the image.
            clock: of the stages that are done.
            settings: the parameters.
            image: in the workspace; None: stage color is done.
        """
        before = clock.names

        def run(clock: Clock) -> None:
            if image is not None:
                stages.convert(stage, clock, image, self._tables)
            stages.label_and_merge(stage, clock, settings)

        recorded = self.workspace.recorded
        channels = 0 if image is None else image.channels
        key = (stage.grid, stage.node_capacity, settings.compactness.hex(), channels)
        if key not in recorded:
            if len(recorded) >= _KEPT_RECORDS:
                recorded.clear()
            run(clock)
            recorded[key] = (None, clock.names)
            return
        clock.begin_step()
        launch, clock.names = recorded[key]
        launch = launch or self.device.record(lambda: run(Clock(stage, None, done=before)))
        recorded[key] = (launch, clock.names)
        if launch is None:
            run(Clock(stage, None, done=before))
        else:
            launch()

    def _copies(self, stage: Stage, to_host: ToHost | None) -> list[tuple[DeviceArray, NDArray[np.int32]]]:
        """What to download with the counters."""
        if to_host is None:
            return []
        labels, records = to_host.labels.reshape(-1), to_host.records.reshape(-1)
        return [
            (self.workspace["labels"][: labels.size], labels),
            (merge.sorted_records(stage)[: records.size], records),
        ]

    def _counters(self, *more: tuple[DeviceArray, NDArray[np.int32]]) -> NDArray[np.uint32]:
        """The counters, until the next call; `more` is downloaded with them."""
        self.device.download((self.workspace["counters"], self._counters_host), *more)
        return self._counters_host

    def _download(self, records: DeviceArray, count: int) -> NDArray[np.int32]:
        rows = self.device.host_array((count, 4), np.int32)
        if count > 0:
            self.device.download((records[: 4 * count], rows.reshape(-1)))
        return rows
