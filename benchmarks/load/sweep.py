"""The sweep: measure each image size, fit the model, measure the curve from low load to overload, report."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.load import curve_report, plots
from benchmarks.load.advice import advise
from benchmarks.load.arrivals import Mix, Size, name_of
from benchmarks.load.capacity import Pod
from benchmarks.load.curve import SHARES, Point, calibrate, fit, knee, measure
from benchmarks.load.curve_report import HEADER, Sweep
from benchmarks.load.docs import IMAGES, MEASURED, renew
from benchmarks.load.generator import message
from benchmarks.load.images import Files
from benchmarks.load.page import figure, listing, page, paragraph, table
from benchmarks.load.target import Ready, pod_settings
from benchmarks.report import Goal, say, say_goals, write_json

MODEL_ERROR = 0.25
"""Largest accepted relative error of the model."""

POD_CACHE = {"SUPERPIXEL_CACHE_BYTES": str(64 << 20)}
"""A pod has a cache, although the measured server has none."""


def run(options: argparse.Namespace, mix: Mix, seconds: float, files: Files, ready: Ready) -> None:
    """Measure, print, and write the report; `seconds` is the time per point."""
    found = _measure(options, mix, seconds, files, ready)
    curve_report.say_points(found)
    curve_report.say_knee(found)
    say_goals(found.goals)
    say(f"\nAdvice for a pod of {found.pod_cores} cores")
    lines = curve_report.advice_lines(found)
    for line in lines:
        say(f"  {line}")
    figures = _as_figures(found)
    write_json(options.out / "load.json", figures, found.goals)
    drawn = plots.draw_curve(found.points, found.target_ms, found.best)
    text = page(
        "Load on a superpixel server",
        paragraph(
            f"Images {found.mix_text}, {found.spacing} arrivals, {seconds:g} s per point, "
            f"{ready.cores} cores."
        ),
        figure(plots.as_svg(drawn)),
        table(HEADER, [curve_report.cells(point) for point in found.points]),
        listing(lines),
    )
    (options.out / "load.html").write_text(text)
    if options.docs:
        write_json(MEASURED, figures, found.goals)
        plots.write_webp(drawn, IMAGES / "load-curve.webp")
        renew("measured", curve_report.for_docs(found))
    say(f"\nwrote {options.out / 'load.json'} and {options.out / 'load.html'}")


def _measure(options: argparse.Namespace, mix: Mix, seconds: float, files: Files, ready: Ready) -> Sweep:
    def make(size: Size) -> bytes:
        return message(files.next(size))

    settings = ready.own.settings if ready.own else pod_settings(ready.cores)
    calibrations = {
        size: calibrate(size, make, ready.senders, ready.cores, 0.5 * seconds, ready.own)
        for size in mix.sizes
    }
    limits = {
        "cores": ready.cores,
        "max_calls": int(settings["SUPERPIXEL_MAX_INFLIGHT_CALLS"]),
        "max_pixels": int(settings["SUPERPIXEL_MAX_INFLIGHT_PIXELS"]),
    }
    pod = fit(limits, calibrations)
    curve_report.say_images(calibrations, pod)
    points = []
    for number, share in enumerate(SHARES[1::3] if options.quick else SHARES):
        rate, seed = share * pod.capacity(mix), options.seed + number
        points.append(measure(rate, seconds, mix, options.spacing, seed, make, ready.senders, pod, ready.own))
    best = knee(points, options.target_ms)
    pod_cores = options.pod_cores
    return Sweep(
        mix_text=options.mix,
        spacing=options.spacing,
        seconds=seconds,
        target_ms=options.target_ms,
        cores=ready.cores,
        ready_seconds=ready.own.ready_seconds if ready.own else None,
        calibrations=calibrations,
        pod=pod,
        points=points,
        best=best,
        pod_cores=pod_cores,
        advice=advise(pod, mix, options.target_ms / 1e3, pod_cores, pod_settings(pod_cores) | POD_CACHE),
        goals=_goals(points, pod, mix, best),
    )


def _goals(points: Sequence[Point], pod: Pod, mix: Mix, best: Point | None) -> list[Goal]:
    goals = []
    if best is not None and best.p99 is not None:
        error = abs(best.model_p99 / best.p99 - 1)
        goals.append(Goal.at_most("model's p99 at the knee, relative error", error, MODEL_ERROR))
    most = max(point.answered for point in points)
    goals.append(
        Goal.at_most("model's capacity, relative error", abs(pod.capacity(mix) / most - 1), MODEL_ERROR)
    )
    return goals


def _as_figures(found: Sweep) -> dict[str, Any]:
    return {
        "mix": found.mix_text,
        "target_ms": found.target_ms,
        "seconds_a_point": found.seconds,
        "spacing": found.spacing,
        "server": {
            "own": found.ready_seconds is not None,
            "cores": found.cores,
            "ready_seconds": found.ready_seconds,
        },
        "calibration": {name_of(size): asdict(each) for size, each in found.calibrations.items()},
        "pod": found.pod.to_json(),
        "points": [asdict(point) for point in found.points],
        "knee": asdict(found.best) if found.best else None,
        "advice": asdict(found.advice) if found.advice else None,
    }
