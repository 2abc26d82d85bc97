"""The table of the results, for people (Markdown) and programs (JSON)."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.attack.measure import Result
from tests.attack.victim import Period
from tests.service.harness import MEBIBYTE

COLUMNS = (
    "point",
    "attack",
    "p50/p95 before, ms",
    "during",
    "after",
    "answers per s before",
    "during",
    "answered",
    "peak MiB",
    "server cores",
    "slowest health check, ms",
    "verdict",
)


def _milliseconds(period: Period | None) -> str:
    if period is None:
        return "-"
    return f"{period.milliseconds(50):.0f}/{period.milliseconds(95):.0f}" if period.answered else "none"


def verdict(result: Result) -> str:
    """One line."""
    wrong = result.faults + result.late
    return "FAILED: " + "; ".join(wrong) if wrong else "withstood"


def row(result: Result) -> list[str]:
    """The cells of one result."""
    before, during = result.before, result.during
    victim = [_milliseconds(period) for period in (before, during, result.after)]
    if before is None or during is None:
        rest = ["-"] * 6
    else:
        rest = [
            f"{before.rate:.1f}",
            f"{during.rate:.1f}",
            f"{during.share:.0%}",
            f"{result.peak_bytes / MEBIBYTE:.0f}",
            f"{result.server_cores:.1f}",
            f"{1e3 * result.slowest_probe:.0f}",
        ]
    return [str(result.attack.point), result.attack.name, *victim, *rest, verdict(result)]


def markdown(results: Sequence[Result]) -> str:
    """The table, and below it what each attack does and saw."""
    lines = [
        " | ".join(COLUMNS),
        " | ".join("---" for _ in COLUMNS),
        *(" | ".join(row(one)) for one in results),
    ]
    table = "\n".join(f"| {line} |" for line in lines)
    details = [
        f"- `{one.attack.name}`: {one.attack.description} Seen: {json.dumps(one.facts)}"
        + (f"; the victim's errors: {json.dumps(errors(one))}" if errors(one) else "")
        for one in results
    ]
    return "\n".join([table, "", *details, ""])


def errors(result: Result) -> dict[str, int]:
    """What the victim's calls ended with that were not answered during the attack."""
    calls = () if result.during is None else result.during.calls
    return dict(Counter(call.outcome for call in calls if call.outcome != "OK"))


def as_json(results: Sequence[Result]) -> str:
    """The same for programs."""

    def period(one: Period | None) -> dict[str, Any] | None:
        if one is None:
            return None
        times = {
            f"p{percent}_ms": one.milliseconds(percent) if one.answered else None for percent in (50, 95)
        }
        return {"seconds": one.seconds, "calls": len(one.calls), "answers": len(one.answered), **times}

    return json.dumps(
        [
            {
                "attack": one.attack.name,
                "point": one.attack.point,
                "before": period(one.before),
                "during": period(one.during),
                "after": period(one.after),
                "errors": errors(one),
                "start_bytes": one.start_bytes,
                "peak_bytes": one.peak_bytes,
                "server_cores": one.server_cores,
                "slowest_probe_seconds": one.slowest_probe,
                "facts": one.facts,
                "faults": one.faults,
                "late": one.late,
            }
            for one in results
        ],
        indent=2,
    )
