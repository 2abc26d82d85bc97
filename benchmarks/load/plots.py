"""Plots of load and of the simulated autoscaler, as SVG text to stand in a page."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.load.curve import Point
    from benchmarks.load.generator import Outcome
    from benchmarks.load.simulate import Result

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


def draw_curve(points: Sequence["Point"], target_ms: float, knee: "Point | None") -> str:
    """Waits and answers over offered load, measured and by the model."""
    figure, ((waits, answers),) = _subplots(1, 2, (12, 4.6))
    offered = [point.offered for point in points]
    for name, colour, percentile in (("p50", GREEN, "p50"), ("p90", GREY, "p90"), ("p99", BLUE, "p99")):
        waits.plot(offered, [_nan(getattr(p, percentile)) for p in points], "o-", color=colour, label=name)
    waits.plot(offered, [p.model_p50 for p in points], ":", color=GREEN, label="p50 by the model")
    waits.plot(offered, [p.model_p99 for p in points], ":", color=BLUE, label="p99 by the model")
    waits.axhline(target_ms, color=ORANGE, linewidth=1, label=f"target {target_ms:g} ms")
    waits.set_yscale("log")
    waits.set_ylabel("ms from when a call was due to its answer")
    answers.plot(offered, [point.answered for point in points], "o-", color=BLUE, label="answered a second")
    answers.plot(offered, offered, color=GREY, linewidth=0.8, label="offered")
    answers.plot(
        offered,
        [p.offered * (1 - p.model_refused) for p in points],
        ":",
        color=BLUE,
        label="answered by the model",
    )
    answers.plot(
        offered, [p.offered * p.refused for p in points], "s-", color=ORANGE, label="refused a second"
    )
    answers.set_ylabel("calls a second")
    for panel in (waits, answers):
        panel.set_xlabel("offered, calls a second")
        if knee is not None:
            panel.axvline(
                knee.offered, color=ORANGE, linestyle="--", linewidth=1, label=f"knee {knee.offered:.1f}/s"
            )
        _finish(panel)
    return _svg(figure)


def draw_timeline(outcome: "Outcome") -> str:
    """One run: calls and waits, by the second in which they were due."""
    figure, ((calls,), (waits,)) = _subplots(2, 1, (11, 6))
    seconds = range(int(outcome.seconds) + 1)
    for name, colour, found in (
        ("due", GREY, outcome.calls),
        ("answered", BLUE, outcome.answered),
        ("refused", ORANGE, outcome.refused),
    ):
        counted = [0] * len(seconds)
        for call in found:
            counted[int(call.due)] += 1
        calls.step(seconds, counted, where="post", color=colour, label=name)
    calls.set_ylabel("calls in each second")
    answered = outcome.answered
    waits.plot(
        [c.due for c in answered], [1e3 * c.seconds for c in answered], ".", color=BLUE, label="answered"
    )
    waits.set_yscale("log")
    waits.set_ylabel("ms")
    waits.set_xlabel("due, seconds")
    for panel in (calls, waits):
        _finish(panel)
    return _svg(figure)


def draw_autoscaling(results: Sequence[tuple[str, "Result"]]) -> str:
    """Simulated: pods and what they would need; lost calls and the p99 of waits, over time."""
    figure, panels = _subplots(3, len(results), (6 * len(results), 8), sharex="col")
    for column, (title, result) in enumerate(results):
        pods, lost, waits = (panels[row][column] for row in range(3))
        pods.step(result.seconds, result.pods, where="post", color=BLUE, label="pods that serve")
        pods.plot(result.seconds, result.needed, color=GREY, linewidth=1, label="needed, by the model")
        pods.set_title(title, fontsize=11)
        lost.plot(
            result.seconds, [100 * share for share in result.refused], color=ORANGE, label="tries refused"
        )
        lost.plot(result.seconds, [100 * share for share in result.lost], color="#000000", label="calls lost")
        waits.plot(
            result.seconds, [_nan(p99) for p99 in result.p99], color=BLUE, label="p99, retries included"
        )
        waits.set_yscale("log")
        waits.set_xlabel("seconds")
        for panel, label in ((pods, "pods"), (lost, "%"), (waits, "seconds")):
            panel.set_ylabel(label)
            _finish(panel)
    return _svg(figure)


def _subplots(
    rows: int, columns: int, size: tuple[float, float], *, sharex: Any = False
) -> tuple["Figure", Any]:
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "superpixel"  # the same figure is the same file
    from matplotlib import pyplot  # after the backend is chosen

    return pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharex=sharex)


def _finish(panel: "Axes") -> None:
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


def _svg(figure: "Figure") -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
