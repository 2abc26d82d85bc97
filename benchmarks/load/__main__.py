"""Load on a server: its curve from idle to overloaded, its knee, and what a pod should be given.

Without --server it starts one of its own, on all cores but one, with the settings of deploy/base. Calls come
by the clock (open loop), and their times count from when they were due. With --profile, one run at one load.
"""

import argparse
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.load import arrivals, plots
from benchmarks.load.advice import Advice, advise
from benchmarks.load.arrivals import DEFAULT_MIX, Arrival, Mix, Size, name_of
from benchmarks.load.capacity import Pod, pods_needed
from benchmarks.load.curve import (
    LOST_SHARE,
    SHARES,
    Calibration,
    Point,
    calibrate,
    fit,
    knee,
    measure,
)
from benchmarks.load.docs import IMAGES, markdown, renew, where_and_when
from benchmarks.load.generator import (
    LATE_SECONDS,
    Outcome,
    Send,
    histogram,
    message,
    offer,
    percentile_ms,
    senders,
)
from benchmarks.load.images import Files
from benchmarks.load.page import figure, listing, page, paragraph, table
from benchmarks.load.target import OwnServer, own_server, pod_settings
from benchmarks.report import Goal, say, say_goals, say_table, write_json
from benchmarks.timing import BUSY_CORES
from superpixel_service.commands.output import CommandFailed
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target

FIGURES = Path(__file__).parent / "measured.json"
"""What docs/capacity.md and the simulation take their figures from."""

PERCENTILES = (50, 90, 95, 99, 99.9, 100)
MODEL_ERROR = 0.25


@dataclass(frozen=True)
class Ready:
    """A server to be measured.

    Attributes:
        own: the process, where it is ours.
    """

    senders: list[Send]
    own: OwnServer | None
    cores: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the report."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        mix, calls = Mix.parse(options.mix), _calls(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sizes = mix.sizes if calls is None else tuple(dict.fromkeys(call.size for call in calls))
    files = Files(sizes, seed=os.getpid() & 0xFF)
    options.out.mkdir(parents=True, exist_ok=True)
    with _server(options) as ready:
        if calls is None:
            _sweep(options, mix, files, ready)
        else:
            _one_run(options, calls, files, ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    where = parser.add_argument_group("server")
    where.add_argument("--server", metavar="HOST:PORT", help="one that runs (default: start one)")
    where.add_argument("--tls", action="store_true", help="reach it over TLS; --ca and --cert imply it")
    where.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of authorities to trust in")
    where.add_argument("--cert", type=Path, metavar="FILE", help="PEM file of our certificate")
    where.add_argument("--key", type=Path, metavar="FILE", help="PEM file of its key")
    where.add_argument("--token-file", type=Path, metavar="FILE", help="holds our token")
    where.add_argument(
        "--server-cores",
        type=int,
        metavar="N",
        help="of the server (default: all here but one; of --server, 2)",
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--profile",
        choices=("sweep", "steady", "step", "burst", "replay"),
        default="sweep",
        help="sweep: the whole curve; step: from half time on --factor times the rate; burst: so in the "
        "middle fifth; replay: --file (default: %(default)s)",
    )
    load.add_argument("--rate", type=float, metavar="N", help="calls a second, for steady, step and burst")
    load.add_argument("--factor", type=float, default=3.0, metavar="N", help="(default: %(default)g)")
    load.add_argument(
        "--file", type=Path, metavar="CSV", help="columns seconds, width and height, for replay"
    )
    load.add_argument(
        "--mix", default=DEFAULT_MIX, help="image sizes and their weights (default: %(default)s)"
    )
    load.add_argument(
        "--spacing", choices=("poisson", "constant"), default="poisson", help="(default: %(default)s)"
    )
    load.add_argument(
        "--seconds", type=float, metavar="N", help="of a point (default: 14) or of one run (60)"
    )
    load.add_argument("--seed", type=int, default=1, help="of arrivals and sizes (default: %(default)s)")
    load.add_argument("--quick", action="store_true", help="a sweep of seconds, to see that it works")
    what = parser.add_argument_group("report")
    what.add_argument("--target-ms", type=float, default=1000.0, help="of p99 (default: %(default)g)")
    what.add_argument(
        "--pod-cores", type=int, default=2, help="of the pod to advise on (default: %(default)s)"
    )
    what.add_argument("--out", type=Path, default=Path("build/load"), help="folder (default: %(default)s)")
    what.add_argument(
        "--docs", action="store_true", help="also renew the figures that docs/capacity.md shows"
    )
    return parser


def _calls(options: argparse.Namespace) -> list[Arrival] | None:
    """Of one run; None: the sweep makes its own."""
    if options.profile == "sweep":
        return None
    if options.profile == "replay":
        if options.file is None:
            raise ValueError("--file: --profile replay needs one")
        return arrivals.replay(options.file)
    if options.rate is None or not options.rate > 0:
        raise ValueError(f"--rate: --profile {options.profile} needs one above 0")
    seconds = _seconds(options)
    if not (seconds > 0 and options.factor > 0):
        raise ValueError("--seconds and --factor: must be above 0")
    phases = {
        "steady": lambda: arrivals.steady(options.rate, seconds),
        "step": lambda: arrivals.step(options.rate, seconds, options.factor),
        "burst": lambda: arrivals.burst(options.rate, seconds, options.factor),
    }[options.profile]()
    return arrivals.schedule(phases, Mix.parse(options.mix), options.spacing, options.seed)


def _seconds(options: argparse.Namespace) -> float:
    default = 60.0 if options.profile != "sweep" else 2.0 if options.quick else 14.0
    return options.seconds or default


def _for_docs(
    calibrations: dict[Size, Calibration],
    pod: Pod,
    points: Sequence[Point],
    best: Point | None,
    goals: Sequence[Goal],
    lines: Sequence[str],
    options: argparse.Namespace,
    own: OwnServer | None,
) -> str:
    knee_text = "none of the loads" if best is None else f"{best.offered:.1f} calls a second"
    words = {True: "reached", False: "missed", None: "unclear"}
    return "\n\n".join(
        (
            f"{where_and_when()}; the server on {pod.cores} core(s), images {options.mix}, "
            f"{_seconds(options):g} s a point.",
            *([f"It was ready after {own.ready_seconds:.1f} s."] if own else []),
            *_disturbance(points),
            "An image, ms:",
            markdown(IMAGE_HEADER, _image_rows(calibrations, pod)),
            f"Fitted: {1e3 * pod.service.fixed:.2f} ms and {1e9 * pod.service.a_pixel:.1f} ms a megapixel.",
            "Over offered load, times in ms:",
            markdown(HEADER, [_cells(point) for point in points]),
            f"Knee, p99 within {options.target_ms:g} ms: {knee_text}; at most"
            f" {max(point.answered for point in points):.1f} were answered a second.",
            "\n".join(f"- {goal.name}: {goal.measured}, {words[goal.reached]}" for goal in goals),
            f"For a pod of {options.pod_cores} cores:",
            "```\n" + "\n".join(lines) + "\n```",
        )
    )


def _disturbance(points: Sequence[Point]) -> list[str]:
    """A warning, where it is due."""
    others = max(point.other_cores or 0.0 for point in points)
    if others <= BUSY_CORES and all(point.on_time for point in points):
        return []
    return [
        f"**Not a quiet machine**: others kept up to {others:.2f} cores busy, so the times by the clock, and "
        "the lateness, are theirs as much as the server's. The model goes by processor time; measure again."
    ]


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[Ready]:
    if options.server is None:
        cores = options.server_cores or max(1, len(os.sched_getaffinity(0)) - 1)
        with own_server(cores) as own, senders(own.address) as ways:
            yield Ready(ways, own, cores)
        return
    tls = bool(options.tls or options.ca or options.cert)
    target = Target(options.server, tls, options.ca, options.cert, options.key, options.token_file)
    try:
        credentials, token = identity(target)
    except CommandFailed as error:
        raise SystemExit(str(error)) from None
    try:
        with senders(options.server, credentials=credentials, token=token) as ways:
            yield Ready(ways, None, options.server_cores or 2)
    except grpc.FutureTimeoutError:
        raise SystemExit(f"{options.server}: no server answers there") from None


# ---- the curve ---------------------------------------------------------------------------------------------


def _sweep(options: argparse.Namespace, mix: Mix, files: Files, ready: Ready) -> None:
    def make(size: Size) -> bytes:
        return message(files.next(size))

    shares = SHARES[1::3] if options.quick else SHARES
    seconds = _seconds(options)
    settings = ready.own.settings if ready.own else pod_settings(ready.cores)
    calibrations: dict[Size, Calibration] = {}
    for size in mix.sizes:
        calibrations[size] = calibrate(size, make, ready.senders, ready.cores, 0.5 * seconds, ready.own)
    limits = {
        "cores": ready.cores,
        "max_calls": int(settings["SUPERPIXEL_MAX_INFLIGHT_CALLS"]),
        "max_pixels": int(settings["SUPERPIXEL_MAX_INFLIGHT_PIXELS"]),
    }
    pod = fit(limits, calibrations)
    say_table("An image, ms", IMAGE_HEADER, _image_rows(calibrations, pod))
    say(f"  fitted: {1e3 * pod.service.fixed:.2f} ms and {1e9 * pod.service.a_pixel:.1f} ms a megapixel")
    points = []
    for number, share in enumerate(shares):
        rate, seed = share * pod.capacity(mix), options.seed + number
        points.append(measure(rate, seconds, mix, options.spacing, seed, make, ready.senders, pod, ready.own))
    best = knee(points, options.target_ms)
    advice = advise(
        pod, mix, options.target_ms / 1e3, options.pod_cores, pod_settings(options.pod_cores) | _cache()
    )
    goals = _goals(points, pod, mix, best)
    _say_points(points)
    _say_knee(best, options.target_ms, points)
    say_goals(goals)
    say(f"\nAdvice for a pod of {options.pod_cores} cores")
    lines = _advice_lines(advice, pod, mix, options.target_ms)
    for line in lines:
        say(f"  {line}")
    figures: dict[str, Any] = {
        "mix": options.mix,
        "target_ms": options.target_ms,
        "seconds_a_point": seconds,
        "spacing": options.spacing,
        "server": {
            "own": ready.own is not None,
            "cores": ready.cores,
            "ready_seconds": ready.own.ready_seconds if ready.own else None,
        },
        "calibration": {name_of(size): asdict(found) for size, found in calibrations.items()},
        "pod": pod.to_json(),
        "points": [asdict(point) for point in points],
        "knee": asdict(best) if best else None,
        "advice": asdict(advice) if advice else None,
    }
    write_json(options.out / "load.json", figures, goals)
    curve = plots.draw_curve(points, options.target_ms, best)
    text = page(
        "Load on a superpixel server",
        paragraph(
            f"Images {options.mix}, {options.spacing} arrivals, {seconds:g} s a point, {ready.cores} cores."
        ),
        figure(curve),
        table(HEADER, [_cells(point) for point in points]),
        listing(lines),
    )
    (options.out / "load.html").write_text(text)
    if options.docs:
        write_json(FIGURES, figures, goals)
        (IMAGES / "load-curve.svg").write_text(curve)
        renew("measured", _for_docs(calibrations, pod, points, best, goals, lines, options, ready.own))
    say(f"\nwrote {options.out / 'load.json'} and {options.out / 'load.html'}")


def _cache() -> dict[str, str]:
    """A pod keeps answers, though the measured server does not."""
    return {"SUPERPIXEL_CACHE_BYTES": str(64 << 20)}


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
    "Mpx wait",
    "cores",
    "others",
    "MB",
    "late",
)


def _cells(point: Point) -> list[str]:
    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    return [
        f"{point.offered:.1f}",
        f"{point.answered:.1f}",
        f"{point.refused:.1%}",
        f"{point.failed:.1%}",
        ms(point.p50),
        ms(point.p90),
        ms(point.p99),
        ms(point.model_p50),
        ms(point.model_p99),
        f"{point.model_refused:.1%}",
        "-" if point.queue_pixels is None else f"{point.queue_pixels / 1e6:.2f}",
        "-" if point.busy_cores is None else f"{point.busy_cores:.2f}",
        "-" if point.other_cores is None else f"{point.other_cores:.2f}",
        "-" if point.peak_bytes is None else f"{point.peak_bytes / 1e6:.0f}",
        f"{point.late:.1%}" + ("" if point.on_time else " LATE"),
    ]


def _say_points(points: Sequence[Point]) -> None:
    say_table("Over offered load; times in ms", HEADER, [_cells(point) for point in points])
    say("  cores: processor time of the server a second; others: of what is neither it nor this generator")
    if not all(point.on_time for point in points):
        say(
            f"  LATE: the generator sent more than 1 % of the calls over {1e3 * LATE_SECONDS:g} ms after they"
            " were due; times still count from then, but such a point is partly the generator's."
        )


def _say_knee(best: Point | None, target_ms: float, points: Sequence[Point]) -> None:
    rule = f"p99 within {target_ms:g} ms, less than {LOST_SHARE:.0%} lost, neighbours that contradict pooled"
    if best is None:
        say(f"\nKnee: none of the loads is within it ({rule})")
        return
    say(f"\nKnee: {best.offered:.1f} calls a second ({rule})")
    say(f"At most {max(point.answered for point in points):.1f} were answered a second.")


IMAGE_HEADER = ("size", "alone, p50", "core a call, busy", "processor time", "others, cores", "fitted")


def _image_rows(calibrations: dict[Size, Calibration], pod: Pod) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for size, found in calibrations.items():
        rows.append(
            (
                name_of(size),
                f"{1e3 * found.alone[len(found.alone) // 2]:.1f}",
                f"{1e3 * found.each:.1f}",
                "-" if found.cpu is None else f"{1e3 * found.cpu:.1f}",
                "-" if found.others is None else f"{found.others:.2f}",
                f"{1e3 * pod.service.seconds(size):.1f}",
            )
        )
    return rows


def _advice_lines(advice: Advice | None, pod: Pod, mix: Mix, target_ms: float) -> list[str]:
    if advice is None:
        return [f"none: even an idle pod answers one call in a hundred later than {target_ms:g} ms"]
    wide = dataclasses.replace(
        pod, cores=advice.cores, max_calls=advice.max_calls, max_pixels=advice.max_pixels
    )
    return [
        f"# up to {advice.highest:.1f} calls a second within {target_ms:g} ms; kept at {advice.working:.1f}, "
        f"where p99 is {1e3 * advice.p99:.0f} ms",
        *advice.lines(),
        "# pods for a load: "
        + ", ".join(f"{load}/s {pods_needed(load, wide, mix, target_ms / 1e3)}" for load in (10, 100, 1000)),
    ]


# ---- one run -----------------------------------------------------------------------------------------------


def _one_run(options: argparse.Namespace, calls: list[Arrival], files: Files, ready: Ready) -> None:
    # A replay is as long as its file; the others have a length.
    seconds = max(calls[-1].due, 1e-3) if options.profile == "replay" else _seconds(options)
    for send in ready.senders:  # connections and workers warm up
        send(message(files.next(calls[0].size))).result()
    outcome = offer(calls, seconds, lambda size: message(files.next(size)), ready.senders)
    rows = _percentile_rows(outcome)
    header = ("percentile", "answered, ms", "refused, ms", "sent after due, ms")
    say_table(f"{options.profile}: {outcome.offered:.1f} calls a second for {seconds:.0f} s", header, rows)
    codes = {f"{code} {reason}".strip(): number for (code, reason), number in sorted(outcome.codes.items())}
    say("\n" + ", ".join(f"{name}: {number}" for name, number in codes.items()))
    if not outcome.on_time:
        say(
            f"LATE: {outcome.late_share:.1%} of the calls were sent over {1e3 * LATE_SECONDS:g} ms after they"
            " were due"
        )
    figures = {
        "profile": options.profile,
        "seconds": seconds,
        "offered": outcome.offered,
        "answered": outcome.throughput,
        "codes": codes,
        "late_share": outcome.late_share,
        "on_time": outcome.on_time,
        "percentiles": [
            dict(zip(("percentile", "answered_ms", "refused_ms", "sent_late_ms"), row, strict=True))
            for row in rows
        ],
        "histogram": histogram(call.seconds for call in outcome.answered).encode().decode(),
    }
    write_json(options.out / "load.json", figures, [])
    text = page(
        f"Load on a superpixel server: {options.profile}",
        figure(plots.draw_timeline(outcome)),
        table(header, [["-" if cell is None else f"{cell:g}" for cell in row] for row in rows]),
        listing([f"{name}: {number}" for name, number in codes.items()]),
    )
    (options.out / "load.html").write_text(text)
    say(f"\nwrote {options.out / 'load.json'} and {options.out / 'load.html'}")


def _percentile_rows(outcome: Outcome) -> list[list[float | None]]:
    found = [
        histogram(call.seconds for call in outcome.answered),
        histogram(call.seconds for call in outcome.refused),
        outcome.lateness,
    ]
    return [
        [percentile, *(percentile_ms(times, percentile) for times in found)] for percentile in PERCENTILES
    ]


if __name__ == "__main__":
    main()
