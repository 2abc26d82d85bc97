"""Plots of the results. Matplotlib is imported on first use, as the measurements do not need it."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison import Result

# Okabe and Ito's palette, and a marker per peer for readers who do not see the colours.
STYLES = {
    "skimage SLIC": ("#0072B2", "o"),
    "OpenCV SLIC": ("#56B4E9", "s"),
    "OpenCV SLICO": ("#009E73", "^"),
    "OpenCV LSC": ("#E69F00", "D"),
    "OpenCV SEEDS": ("#CC79A7", "v"),
    "fast-slic": ("#000000", "P"),
}
OURS = "#D55E00"
OUR_LINES = {"ours, mixed by purity": "--", "ours, one size": ":"}


def draw_quality(result: Result, folder: Path) -> Path:
    """Plot undersegmentation error, boundary recall and achievable accuracy over the count."""
    pyplot = _pyplot()
    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    for panel, (name, title) in zip(
        panels,
        (
            ("undersegmentation_error", "undersegmentation error (lower is better)"),
            ("boundary_recall", "boundary recall (higher is better)"),
            ("achievable_accuracy", "achievable accuracy (higher is better)"),
        ),
        strict=True,
    ):
        for peer, duels in result.duels.items():
            colour, marker = STYLES[peer]
            counts = [duel.count for duel in duels.values()]
            values = [getattr(duel.peer, name) for duel in duels.values()]
            panel.plot(counts, values, color=colour, marker=marker, linewidth=1, label=peer)
        panel.plot(
            list(result.ours),
            [getattr(quality, name) for quality in result.ours.values()],
            color=OURS,
            marker="*",
            markersize=10,
            linewidth=2.5,
            label="ours",
        )
        _count_axis(panel, list(result.ours))
        panel.set_title(title, fontsize=11)
    panels[0].legend(fontsize=9)
    return _save(figure, folder, "quality.png")


def draw_effort(finished: Mapping[str, NDArray[np.float64]], most: int, folder: Path) -> Path:
    """Plot the share of human segments that are finished, over the number of clicks.

    Args:
        finished: by method, (most + 1,) shares at 0..most clicks; a name that no peer has is one of ours.
        most: the right end of the axis.
        folder: for the picture.
    """
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(9.5, 5), layout="constrained")
    for name, shares in finished.items():
        colour, marker = STYLES.get(name, (OURS, "*"))
        is_ours = name not in STYLES
        panel.plot(
            np.arange(1, most + 1),
            shares[1:],
            color=colour,
            marker=marker,
            markevery=3,
            markersize=5,
            linewidth=2.5 if is_ours else 1,
            linestyle=OUR_LINES.get(name, "-"),
            label=name,
        )
    panel.set_xlabel("clicks")
    panel.set_ylabel("share of reachable human segments at IoU 0.90")
    panel.set_xlim(1, most)
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)
    figure.legend(fontsize=9, loc="outside right upper")
    return _save(figure, folder, "effort.png")


def draw_speed(milliseconds: Mapping[str, Mapping[str, float]], folder: Path) -> Path:
    """Plot milliseconds per megapixel by image and implementation, on a logarithmic axis."""
    pyplot = _pyplot()
    images = list(milliseconds)
    names = list(dict.fromkeys(name for row in milliseconds.values() for name in row))
    figure, panel = pyplot.subplots(figsize=(11, 4.8), layout="constrained")
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        places = [place + (index - (len(names) - 1) / 2) * width for place in range(len(images))]
        heights = [milliseconds[image].get(name, float("nan")) for image in images]
        is_ours = name not in STYLES
        panel.bar(
            places,
            heights,
            width,
            label=name,
            color=OURS if is_ours else STYLES[name][0],
            alpha=0.6 if is_ours and "two" in name else 1.0,
        )
    panel.set_yscale("log")
    ticks = (20, 50, 100, 200, 500, 1000, 2000)
    panel.set_yticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.set_xticks(range(len(images)), images)
    panel.set_ylabel("milliseconds per megapixel (logarithmic)")
    panel.grid(axis="y", alpha=0.3)
    figure.legend(fontsize=9, ncols=4, loc="outside upper center")
    return _save(figure, folder, "speed.png")


def _count_axis(panel: Any, counts: Sequence[int]) -> None:
    panel.set_xscale("log")
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.minorticks_off()
    panel.set_xlabel("superpixels")
    panel.grid(alpha=0.3)


def _pyplot() -> Any:
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def _save(figure: Any, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=130)
    _pyplot().close(figure)
    return folder / name
