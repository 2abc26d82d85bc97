"""Tables and texts about a sweep: for the terminal, the HTML report and docs/capacity.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.load.advice import Advice
from benchmarks.load.arrivals import Mix, Size, name_of
from benchmarks.load.capacity import Pod, pods_needed
from benchmarks.load.curve import LOST_SHARE, Calibration, Point
from benchmarks.load.docs import markdown, this_machine, today
from benchmarks.load.generator import LATE_SECONDS
from benchmarks.report import Goal, say, say_table
from benchmarks.timing import BUSY_CORES

HEADER = (
    "offered/s",
    "answered/s",
    "refused",
    "failed",
    "p50",
    "p90",
    "p99",
    "model p50",
    "model p99",
    "model refused",
    "waiting Mpx",
    "cores",
    "others",
    "MB",
    "late",
)
IMAGE_HEADER = ("size", "alone, p50", "core time, busy", "processor time", "others, cores", "fitted")
LOADS = (10, 100, 1000)
"""Calls per second for which the advice says how many pods they need."""


@dataclass(frozen=True)
class Sweep:
    """The settings and results of a sweep.

    Attributes:
        mix_text: the images, as `Mix.parse` reads them.
        spacing: of the arrivals.
        seconds: per point.
        target_ms: of p99.
        cores: of the measured server.
        ready_seconds: from the server's start until it was ready; None if we did not start it.
        calibrations: what each image size takes alone and on a busy server.
        pod: the model that was fitted to them.
        points: the curve.
        best: the knee; None if no load was within the target.
        pod_cores: of the pod that the advice is for.
        advice: None if no load is within the target.
        goals: how exact the model must be, and is.
    """

    mix_text: str
    spacing: str
    seconds: float
    target_ms: float
    cores: int
    ready_seconds: float | None
    calibrations: Mapping[Size, Calibration]
    pod: Pod
    points: Sequence[Point]
    best: Point | None
    pod_cores: int
    advice: Advice | None
    goals: Sequence[Goal]


def say_images(calibrations: Mapping[Size, Calibration], pod: Pod) -> None:
    """Print what each image size takes."""
    say_table("Per image, ms", IMAGE_HEADER, _image_rows(calibrations, pod))
    say(f"  {_fitted(pod)}")


def say_points(found: Sweep) -> None:
    """Print the curve."""
    say_table("Over the offered load; times in ms", HEADER, [cells(point) for point in found.points])
    say("  cores: that the server kept busy; others: that other processes kept busy, without the generator")
    if not all(point.on_time for point in found.points):
        say(
            f"  LATE: the generator sent more than 1 % of the calls over {1e3 * LATE_SECONDS:g} ms after"
            " their due time. Times still count from the due time, but the generator adds to them."
        )


def say_knee(found: Sweep) -> None:
    """Print the knee, and the rule by which it was found."""
    rule = f"p99 within {found.target_ms:g} ms, less than {LOST_SHARE:.0%} lost, contradicting points pooled"
    if found.best is None:
        say(f"\nKnee: none of the loads is within the target ({rule})")
        return
    say(f"\nKnee: {found.best.offered:.1f} calls per second ({rule})")
    say(_most_answered(found))


def cells(point: Point) -> list[str]:
    """Return the cells below `HEADER`."""

    def text(value: float | None, decimals: int = 0) -> str:
        return "-" if value is None else f"{value:.{decimals}f}"

    return [
        f"{point.offered:.1f}",
        f"{point.answered:.1f}",
        f"{point.refused:.1%}",
        f"{point.failed:.1%}",
        text(point.p50),
        text(point.p90),
        text(point.p99),
        text(point.model_p50),
        text(point.model_p99),
        f"{point.model_refused:.1%}",
        text(None if point.queue_pixels is None else point.queue_pixels / 1e6, 2),
        text(point.busy_cores, 2),
        text(point.other_cores, 2),
        text(None if point.peak_bytes is None else point.peak_bytes / 1e6),
        f"{point.late:.1%}" + ("" if point.on_time else " LATE"),
    ]


def advice_lines(found: Sweep) -> list[str]:
    """Return the advice in the form of the settings in deploy/."""
    advice = found.advice
    if advice is None:
        return [
            f"none: even at an idle pod one call in a hundred takes longer than {found.target_ms:g} ms",
        ]
    pod = replace(found.pod, cores=advice.cores, max_calls=advice.max_calls, max_pixels=advice.max_pixels)
    mix, target = Mix.parse(found.mix_text), found.target_ms / 1e3
    needed = ", ".join(f"{load}/s: {pods_needed(load, pod, mix, target)}" for load in LOADS)
    return [
        f"# p99 is within {found.target_ms:g} ms up to {advice.highest:.1f} calls per second",
        f"# autoscaler keeps a pod at {advice.working:.1f} calls per second: p99 {1e3 * advice.p99:.0f} ms",
        *advice.lines(),
        f"# pods for a load: {needed}",
    ]


def for_docs(found: Sweep) -> str:
    """Return the generated part of docs/capacity.md."""
    facts = [
        ("date", today()),
        ("machine", this_machine()),
        ("cores of the server", found.cores),
        ("images", found.mix_text),
        ("time per point", f"{found.seconds:g} s"),
    ]
    if found.ready_seconds is not None:
        facts.append(("from the server's start until ready", f"{found.ready_seconds:.1f} s"))
    knee = "none of the loads" if found.best is None else f"{found.best.offered:.1f} calls per second"
    words = {True: "reached", False: "missed", None: "unclear"}
    return "\n\n".join(
        (
            markdown(("of this run", "value"), facts),
            *_disturbance(found.points),
            "Per image, ms:",
            markdown(IMAGE_HEADER, _image_rows(found.calibrations, found.pod)),
            _fitted(found.pod),
            "Over the offered load, times in ms:",
            markdown(HEADER, [cells(point) for point in found.points]),
            f"Knee, p99 within {found.target_ms:g} ms: {knee}. {_most_answered(found)}",
            "\n".join(f"- {goal.name}: {goal.measured}, {words[goal.reached]}" for goal in found.goals),
            f"For a pod of {found.pod_cores} cores:",
            "```\n" + "\n".join(advice_lines(found)) + "\n```",
        )
    )


def _disturbance(points: Sequence[Point]) -> list[str]:
    """Return a warning if other processes or a late generator disturbed the measurement."""
    others = max(point.other_cores or 0.0 for point in points)
    if others <= BUSY_CORES and all(point.on_time for point in points):
        return []
    return [
        f"**Not a quiet machine**: other processes kept up to {others:.2f} cores busy. They add to the times"
        " and to the lateness. The model uses processor time. Measure again."
    ]


def _image_rows(calibrations: Mapping[Size, Calibration], pod: Pod) -> list[tuple[str, ...]]:
    return [
        (
            name_of(size),
            f"{1e3 * found.alone[len(found.alone) // 2]:.1f}",
            f"{1e3 * found.each:.1f}",
            "-" if found.cpu is None else f"{1e3 * found.cpu:.1f}",
            "-" if found.others is None else f"{found.others:.2f}",
            f"{1e3 * pod.service.seconds(size):.1f}",
        )
        for size, found in calibrations.items()
    ]


def _fitted(pod: Pod) -> str:
    return f"Fitted: {1e3 * pod.service.fixed:.2f} ms, plus {1e9 * pod.service.a_pixel:.1f} ms per megapixel."


def _most_answered(found: Sweep) -> str:
    most = max(point.answered for point in found.points)
    return f"At most {most:.1f} calls per second were answered."
