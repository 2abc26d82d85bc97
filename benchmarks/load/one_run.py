"""One run with a given schedule of calls: percentiles, status codes, and a timeline."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import plots
from benchmarks.load.arrivals import Arrival
from benchmarks.load.generator import LATE_SECONDS, Outcome, histogram, message, offer, percentile_ms
from benchmarks.load.images import Files
from benchmarks.load.page import figure, listing, page, table
from benchmarks.load.target import Ready
from benchmarks.report import say, say_table, write_json

PERCENTILES = (50, 90, 95, 99, 99.9, 100)
HEADER = ("percentile", "answered, ms", "refused, ms", "sent after due, ms")


def run(
    profile: str, calls: Sequence[Arrival], seconds: float, files: Files, ready: Ready, out: Path
) -> None:
    """Offer the calls, print, and write the report to the folder `out`."""
    for send in ready.senders:  # warm up connections and workers
        send(message(files.next(calls[0].size))).result()
    outcome = offer(calls, seconds, lambda size: message(files.next(size)), ready.senders)
    rows = _percentile_rows(outcome)
    say_table(f"{profile}: {outcome.offered:.1f} calls per second for {seconds:.0f} s", HEADER, rows)
    codes = {f"{code} {reason}".strip(): number for (code, reason), number in sorted(outcome.codes.items())}
    say("\n" + ", ".join(f"{name}: {number}" for name, number in codes.items()))
    if not outcome.on_time:
        say(
            f"LATE: {outcome.late_share:.1%} of the calls were sent over {1e3 * LATE_SECONDS:g} ms after"
            " their due time"
        )
    figures = {
        "profile": profile,
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
    write_json(out / "load.json", figures, [])
    text = page(
        f"Load on a superpixel server: {profile}",
        figure(plots.as_svg(plots.draw_timeline(outcome))),
        table(HEADER, [["-" if cell is None else f"{cell:g}" for cell in row] for row in rows]),
        listing([f"{name}: {number}" for name, number in codes.items()]),
    )
    (out / "load.html").write_text(text)
    say(f"\nwrote {out / 'load.json'} and {out / 'load.html'}")


def _percentile_rows(outcome: Outcome) -> list[list[float | None]]:
    found = [
        histogram(call.seconds for call in outcome.answered),
        histogram(call.seconds for call in outcome.refused),
        outcome.lateness,
    ]
    return [
        [percentile, *(percentile_ms(times, percentile) for times in found)] for percentile in PERCENTILES
    ]
