"""Launcher of stage smooth."""

from superpixel_kernels.cuda.stage import Stage

TILE_HEIGHT = 8


def smooth(stage: Stage) -> None:
    """Filter the packed Lab in "color"; write to "smooth"."""
    stage.launch_tiles(
        "smooth_filter", TILE_HEIGHT, [stage.workspace["color"], *stage.size, stage.workspace["smooth"]]
    )
