"""The stages of an image, in their order."""

from dataclasses import dataclass

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda import color, components, graph, merge, slic, smooth
from superpixel_kernels.cuda.clock import Clock
from superpixel_kernels.cuda.guidance import Guide
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import EDGES_PER_REGION, UNGUIDED, GuidanceKind


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


def convert(stage: Stage, clock: Clock, image: color.DeviceImage, tables: color.Tables) -> None:
    """Color, the first stage."""
    clock.start()
    clock.begin_step()
    color.convert(stage, image, tables)
    clock.done("color")


def smooth_colors(stage: Stage, clock: Clock) -> None:
    """Smooth."""
    clock.begin_step()
    smooth.smooth(stage)
    clock.done("smooth")


def label(stage: Stage, clock: Clock, settings: Settings, kind: GuidanceKind) -> None:
    """The stages from smooth to components."""
    smooth_colors(stage, clock)
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


def label_and_merge(
    stage: Stage,
    clock: Clock,
    settings: Settings,
    kind: GuidanceKind = UNGUIDED,
    guide: Guide | None = None,
) -> None:
    """All stages after color."""
    label(stage, clock, settings, kind)
    clock.begin_step()
    graph.build(stage, guide)
    clock.done("graph")
    clock.begin_step()
    k4, cell_area = settings.merge_params(stage.grid.step)
    merge.merge(stage, edges_per_node=EDGES_PER_REGION, k4=k4, cell_area=cell_area, kind=kind)
    clock.done("merge")
