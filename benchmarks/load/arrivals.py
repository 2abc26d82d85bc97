"""Schedules: when each call is due and the size of its image, fixed before the run."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Width and height, in pixels."""

Spacing = Literal["poisson", "constant"]

DEFAULT_MIX = "481x321:70,1920x1080:28,3840x2160:2"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A scheduled call.

    Attributes:
        due: seconds after the run's start.
        size: of the image.
    """

    due: float
    size: Size


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in seconds with one rate in calls per second."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Mix:
    """Image sizes and the share of each; the shares add up to 1."""

    sizes: tuple[Size, ...]
    shares: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """Parse "WIDTHxHEIGHT:WEIGHT,...".

        Raises:
            ValueError: the text has another form, or names a size twice.
        """
        sizes, weights = [], []
        for part in text.split(","):
            name, _, weight = part.partition(":")
            try:
                sizes.append(parse_size(name))
                weights.append(float(weight or 1))
            except ValueError:
                raise ValueError(f"mix: must be as in {DEFAULT_MIX}, got {part!r}") from None
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"mix: each size once, got {text!r}")
        if not all(0 < weight < float("inf") for weight in weights):
            raise ValueError(f"mix: weights must be above 0, got {text!r}")
        return cls(tuple(sizes), tuple(weight / sum(weights) for weight in weights))

    @property
    def mean_pixels(self) -> float:
        """Mean number of pixels of an image."""
        return sum(share * pixels(size) for size, share in zip(self.sizes, self.shares, strict=True))

    def draw(self, number: int, random: np.random.Generator) -> list[Size]:
        """Draw `number` independent sizes."""
        return [self.sizes[index] for index in random.choice(len(self.sizes), number, p=self.shares)]


def parse_size(text: str) -> Size:
    """Parse "WIDTHxHEIGHT".

    Raises:
        ValueError: the text has another form.
    """
    width, cross, height = text.strip().partition("x")
    if not (cross and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise ValueError(f"size: must be WIDTHxHEIGHT, got {text!r}")
    if int(width) < 1 or int(height) < 1:
        raise ValueError(f"size: must be at least 1x1, got {text!r}")
    return int(width), int(height)


def pixels(size: Size) -> int:
    """Return the number of pixels of an image of that size."""
    return size[0] * size[1]


def name_of(size: Size) -> str:
    """Return "WIDTHxHEIGHT"."""
    return f"{size[0]}x{size[1]}"


def steady(rate: float, seconds: float) -> list[Phase]:
    """Return one phase of one rate."""
    return [Phase(seconds, rate)]


def step(rate: float, seconds: float, factor: float) -> list[Phase]:
    """Return phases with `factor` times the rate from half time on."""
    return [Phase(seconds / 2, rate), Phase(seconds / 2, rate * factor)]


def burst(rate: float, seconds: float, factor: float) -> list[Phase]:
    """Return phases with `factor` times the rate in the middle fifth."""
    return [Phase(0.4 * seconds, rate), Phase(0.2 * seconds, rate * factor), Phase(0.4 * seconds, rate)]


def schedule(phases: Sequence[Phase], mix: Mix, spacing: Spacing, seed: int) -> list[Arrival]:
    """Return the calls of the phases in the order of time.

    Calls are due when the integral of the rate reaches given values: sums of exponential variates (a Poisson
    process), or whole numbers (constant spacing).
    """
    random = np.random.default_rng(seed)
    ends = np.cumsum([0.0, *(phase.seconds for phase in phases)])
    expected = np.cumsum([0.0, *(phase.seconds * phase.rate for phase in phases)])
    if spacing == "constant":
        reached = np.arange(int(np.ceil(expected[-1])), dtype=np.float64)
    else:
        most = int(expected[-1] + 10 * np.sqrt(expected[-1]) + 10)
        reached = np.cumsum(random.exponential(size=most))
    dues: NDArray[np.float64] = np.interp(reached[reached < expected[-1]], expected, ends)
    return [Arrival(float(due), size) for due, size in zip(dues, mix.draw(len(dues), random), strict=True)]


def replay(path: Path) -> list[Arrival]:
    """Read the calls of a CSV file with the columns `seconds` (since any moment), `width` and `height`.

    Raises:
        ValueError: a column or a number is missing or wrong; the text names the line.
        OSError: the file cannot be read.
    """
    arrivals = []
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        missing = {"seconds", "width", "height"} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: needs the columns seconds,width,height; has no {min(missing)}")
        for row in rows:
            try:
                seconds = float(row["seconds"])
                size = parse_size(f"{row['width']}x{row['height']}")
            except (TypeError, ValueError):
                raise ValueError(f"{path}, line {rows.line_num}: must be as in 0.25,1920,1080") from None
            if not np.isfinite(seconds):
                raise ValueError(f"{path}, line {rows.line_num}: seconds must be finite")
            arrivals.append(Arrival(seconds, size))
    if not arrivals:
        raise ValueError(f"{path}: has no calls")
    arrivals.sort(key=lambda arrival: arrival.due)
    first = arrivals[0].due
    return [Arrival(arrival.due - first, arrival.size) for arrival in arrivals]
