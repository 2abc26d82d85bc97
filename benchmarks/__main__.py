"""Run the benchmarks: tables to the terminal, figures and plots to a folder, all goals at the end."""

import argparse
import importlib
import os
from pathlib import Path

from benchmarks.data import add_data_arguments
from benchmarks.report import read_goals, say, say_goals

# Each is a module with main(arguments), which accepts --data, --json and --plots.
PARTS = (
    "label_map",
    "speed",
    "decode",
    "service",
    "throughput",
    "latency",
    "quality",
    "effort",
    "snap",
)


def main() -> None:
    """Run the chosen parts in turn. The exit status is 0 even if goals are missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"default: {' '.join(PARTS)}"
    )
    options = parser.parse_args()
    for part in options.parts:
        say(f"\n==== {part} ==== (load average {os.getloadavg()[0]:.1f})")
        module = importlib.import_module(f"benchmarks.{part}")
        figures = options.out / f"{part}.json"
        module.main(["--data", str(options.data), "--json", str(figures), "--plots", str(options.out)])
    say("\n==== all goals ====")
    for part in options.parts:
        say(f"\n{part}")
        say_goals(read_goals(options.out / f"{part}.json"))


if __name__ == "__main__":
    main()
