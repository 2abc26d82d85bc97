"""What docs/capacity.md has of the latest run: between two comments, so that a run renews it."""

import datetime
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
IMAGES = PAGE.parent / "images"


def renew(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the page has no such place.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = page.read_text()
    place = re.compile(re.escape(begin) + ".*" + re.escape(end), re.DOTALL)
    after, found = place.subn(lambda _: f"{begin}\n\n{text}\n\n{end}", before)
    if found != 1:
        raise ValueError(f"{page}: must have {begin} and {end} once")
    page.write_text(after)


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def where_and_when() -> str:
    """The date, the machine and its load."""
    day = datetime.datetime.now(datetime.UTC).strftime("%d %B %Y").lstrip("0")
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{day}, {name}, {os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f}"
