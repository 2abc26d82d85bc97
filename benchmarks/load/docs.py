"""The parts of docs/capacity.md that a run generates, and the files behind them."""

import datetime
import os
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import processor

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
IMAGES = PAGE.parent / "images"
MEASURED = Path(__file__).parent / "measured.json"
"""The figures that docs/capacity.md shows and the simulation uses."""


def renew(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the page does not have both comments exactly once.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = page.read_text()
    place = re.compile(re.escape(begin) + ".*" + re.escape(end), re.DOTALL)
    after, found = place.subn(lambda _: f"{begin}\n\n{text}\n\n{end}", before)
    if found != 1:
        raise ValueError(f"{page}: must have {begin} and {end} once")
    page.write_text(after)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def today() -> str:
    """Return the date in UTC, as in "1 June 2026"."""
    return datetime.datetime.now(datetime.UTC).strftime("%d %B %Y").lstrip("0")


def this_machine() -> str:
    """Return the processor, its number of cores, and the load average over five minutes."""
    return f"{processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f}"
