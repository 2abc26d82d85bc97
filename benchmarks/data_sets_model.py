"""What a large data set takes: cores, hours, bytes, requests and money, from measured figures.

`python -m benchmarks.data_sets_model` prints the tables of docs/data-sets.md. The simulation gives units to
workers as they become free, with images of different sizes and workers that are lost, and says how much
longer than the ideal a run takes.
"""

import heapq
import random
from dataclasses import dataclass

# Measured on 29 November 2026 by benchmarks/data_sets.py: 300 photographs of 481x321 pixels, one core, Ray.
CPU_SECONDS_PER_MEGAPIXEL = 0.0712
SPX_BYTES_PER_MEGAPIXEL = 194_000
MANIFEST_BYTES_PER_IMAGE = 232
PLAN_BYTES_PER_IMAGE = 1_400

# Assumed: on-demand prices and limits of a large cloud, in dollars. Put in your own.
DOLLARS_PER_CORE_HOUR = 0.045
DOLLARS_PER_MILLION_GETS = 0.4
DOLLARS_PER_GB_MONTH = 0.023

UNIT_IMAGES = 2048


@dataclass(frozen=True)
class DataSet:
    """A data set: number of images, and megapixels and bytes of each."""

    name: str
    images: int
    megapixels: float
    image_bytes: float

    @property
    def core_hours(self) -> float:
        """Processor time."""
        return self.images * self.megapixels * CPU_SECONDS_PER_MEGAPIXEL / 3600


PHOTOGRAPHS = DataSet("10 million photographs of 640x480", 10_000_000, 0.3072, 100_000)
SLIDES = DataSet("10,000 slides of 100,000x80,000", 10_000, 8_000, 1.5e9)


def table(data: DataSet, cores: int) -> list[tuple[str, str]]:
    """The lines of a table."""
    spx = data.images * data.megapixels * SPX_BYTES_PER_MEGAPIXEL
    hours = data.core_hours / cores
    rate = data.images * data.image_bytes / (hours * 3600)
    return [
        ("processor time", f"{data.core_hours:,.0f} core hours"),
        (f"time on {cores:,} cores", f"{hours:.1f} hours"),
        ("read", f"{data.images * data.image_bytes / 1e12:,.0f} TB, {rate / 1e6:,.0f} MB a second"),
        ("label maps with every count", f"{spx / 1e12:.1f} TB"),
        ("manifest", f"{data.images * MANIFEST_BYTES_PER_IMAGE / 1e9:.2f} GB"),
        ("memory of the driver", f"{data.images * PLAN_BYTES_PER_IMAGE / 1e9:.1f} GB"),
        ("machines", f"${data.core_hours * DOLLARS_PER_CORE_HOUR:,.0f}"),
        ("requests", f"${data.images / 1e6 * DOLLARS_PER_MILLION_GETS:,.2f}"),
        ("storage", f"${spx / 1e9 * DOLLARS_PER_GB_MONTH:,.0f} a month"),
    ]


def simulate(
    images: int,
    cores: int,
    *,
    unit_images: int = UNIT_IMAGES,
    spread: float = 0.5,
    losses_per_core_hour: float = 0.0,
    seconds_per_image: float = 0.0219,
    seed: int = 0,
) -> float:
    """The time of a run, as a multiple of the ideal (all cores busy to the end, nothing repeated).

    Args:
        images: number of images.
        cores: workers.
        unit_images: images of a unit.
        spread: standard deviation of the logarithm of a unit's time: its images are not as estimated.
        losses_per_core_hour: how often a worker is lost. Its unit begins again.
        seconds_per_image: mean time of an image.
        seed: of the random numbers.
    """
    source = random.Random(seed)  # noqa: S311
    mean = unit_images * seconds_per_image
    times = [mean * source.lognormvariate(-(spread**2) / 2, spread) for _ in range(-(-images // unit_images))]
    free = [0.0] * cores
    for seconds in times:
        begin = heapq.heappop(free)
        while losses_per_core_hour:
            lost_after = source.expovariate(losses_per_core_hour / 3600)
            if lost_after >= seconds:
                break
            begin += lost_after
        heapq.heappush(free, begin + seconds)
    return max(free) / (sum(times) / cores)


def main() -> None:
    """Print the tables."""
    for data, cores in ((PHOTOGRAPHS, 64), (SLIDES, 1024)):
        print(f"\n{data.name}")  # noqa: T201
        for name, value in table(data, cores):
            print(f"| {name} | {value} |")  # noqa: T201
    print("\ncores, units per core, losses per core hour: time as a multiple of the ideal")  # noqa: T201
    for cores in (64, 512, 2048):
        for per_core in (8, 32):
            unit_images = min(UNIT_IMAGES, PHOTOGRAPHS.images // (per_core * cores))
            for losses in (0.0, 1.0):
                times = [
                    simulate(
                        PHOTOGRAPHS.images,
                        cores,
                        unit_images=unit_images,
                        losses_per_core_hour=losses,
                        seed=seed,
                    )
                    for seed in range(3)
                ]
                print(f"| {cores} | {per_core} | {losses} | {sum(times) / 3:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
