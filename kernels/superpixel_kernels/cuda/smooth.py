"""Launches stage smooth."""

from superpixel_kernels.cuda.stage import Stage

TILE_HEIGHT = 8


def smooth(stage: Stage) -> None:
    """Packed Lab in "color" to "smooth"."""
    stage.launch_tiles(
        "smooth_filter", TILE_HEIGHT, [stage.workspace["color"], *stage.size, stage.workspace["smooth"]]
    )
