"""Plots of the load on a server and of the simulated autoscaler."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.load.curve import Point
from benchmarks.load.generator import Outcome
from benchmarks.load.simulation import Result

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


def draw_curve(points: Sequence[Point], target_ms: float, knee: Point | None) -> Figure:
    """Draw times and answers over the offered load, measured and by the model."""
    figure, ((times, answers),) = _subplots(1, 2, (12, 4.6))
    offered = [point.offered for point in points]
    for name, colour in (("p50", GREEN), ("p90", GREY), ("p99", BLUE)):
        times.plot(offered, [_nan(getattr(p, name)) for p in points], "o-", color=colour, label=name)
    times.plot(offered, [p.model_p50 for p in points], ":", color=GREEN, label="p50 by the model")
    times.plot(offered, [p.model_p99 for p in points], ":", color=BLUE, label="p99 by the model")
    times.axhline(target_ms, color=ORANGE, linewidth=1, label=f"target {target_ms:g} ms")
    _log_axis(times)
    times.set_ylabel("ms from a call's due time to its answer")
    answers.plot(offered, [point.answered for point in points], "o-", color=BLUE, label="answered")
    answers.plot(offered, offered, color=GREY, linewidth=0.8, label="offered")
    answers.plot(
        offered,
        [p.offered * (1 - p.model_refused) for p in points],
        ":",
        color=BLUE,
        label="answered, by the model",
    )
    answers.plot(offered, [p.offered * p.refused for p in points], "s-", color=ORANGE, label="refused")
    answers.set_ylabel("calls per second")
    for panel in (times, answers):
        panel.set_xlabel("offered calls per second")
        if knee is not None:
            panel.axvline(
                knee.offered, color=ORANGE, linestyle="--", linewidth=1, label=f"knee {knee.offered:.1f}/s"
            )
        _finish(panel)
    return figure


def draw_timeline(outcome: Outcome) -> Figure:
    """Draw the calls and times of one run, by the second in which the calls were due."""
    figure, ((calls,), (times,)) = _subplots(2, 1, (11, 6))
    seconds = range(int(outcome.seconds) + 1)
    answered = outcome.answered
    for name, colour, found in (
        ("due", GREY, outcome.calls),
        ("answered", BLUE, answered),
        ("refused", ORANGE, outcome.refused),
    ):
        counted = [0] * len(seconds)
        for call in found:
            counted[int(call.due)] += 1
        calls.step(seconds, counted, where="post", color=colour, label=name)
    calls.set_ylabel("calls per second")
    times.plot(
        [c.due for c in answered], [1e3 * c.seconds for c in answered], ".", color=BLUE, label="answered"
    )
    _log_axis(times)
    times.set_ylabel("ms from due time to answer")
    times.set_xlabel("due time, seconds")
    for panel in (calls, times):
        _finish(panel)
    return figure


def draw_autoscaling(results: Sequence[tuple[str, Result]]) -> Figure:
    """Draw titled simulations side by side: pods and pods needed, lost calls, and p99, over time."""
    figure, panels = _subplots(3, len(results), (6 * len(results), 8), sharex="col")
    for column, (title, result) in enumerate(results):
        pods, lost, times = (panels[row][column] for row in range(3))
        pods.step(result.seconds, result.pods, where="post", color=BLUE, label="pods that serve")
        pods.plot(result.seconds, result.needed, color=GREY, linewidth=1, label="pods needed, by the model")
        pods.set_title(title, fontsize=11)
        lost.plot(
            result.seconds, [100 * share for share in result.refused], color=ORANGE, label="tries refused"
        )
        lost.plot(result.seconds, [100 * share for share in result.lost], color="#000000", label="calls lost")
        times.plot(
            result.seconds, [_nan(p99) for p99 in result.p99], color=BLUE, label="p99, retries included"
        )
        _log_axis(times)
        times.set_xlabel("seconds")
        for panel, label in ((pods, "pods"), (lost, "%"), (times, "seconds")):
            panel.set_ylabel(label)
            _finish(panel)
    return figure


def as_svg(figure: Figure) -> str:
    """Return the figure as an SVG document."""
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()


def write_webp(figure: Figure, path: Path) -> Path:
    """Write the figure as a lossless WebP file, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, pil_kwargs={"lossless": True, "method": 6})
    return path


def _subplots(
    rows: int, columns: int, size: tuple[float, float], *, sharex: Any = False
) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=sharex)


def _log_axis(panel: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers at 1, 2 and 5 of each decade."""
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter(NullFormatter())


def _finish(panel: Axes) -> None:
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
