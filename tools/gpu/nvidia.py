"""Run Nsight Compute or compute-sanitizer on the CUDA engine; skip if the tool does not work here."""

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.gpu import SKIPPED

FOUND = 86
"""Exit status that compute-sanitizer is asked for if it reports an error."""

TESTS = "test_every_stage[golden-60x40]", "test_cut[golden-60x40]"

METRICS = {
    "gpu__time_duration.sum": "us",
    "dram__bytes.sum": "MB",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "memory %",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "compute %",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "warps %",
    "launch__registers_per_thread": "registers",
}

_REFUSED = re.compile(
    r"^.*(device not supported|LibraryNotLoaded|ERR_NVGPUCTRPERM|failed to initialize).*$",
    re.IGNORECASE | re.MULTILINE,
)

_CLEAN = re.compile(r"SUMMARY: 0 (errors|hazards)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.nvidia", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ncu = commands.add_parser("ncu", help="profile one image")
    ncu.add_argument("size", help="WIDTHxHEIGHT")
    ncu.add_argument("report", type=Path, help="file to write")
    sanitizer = commands.add_parser("sanitizer", help="run two tests under compute-sanitizer")
    sanitizer.add_argument("tool", choices=("memcheck", "racecheck", "synccheck", "initcheck"))
    options = parser.parse_args(arguments)
    if os.environ.get("SUPERPIXEL_TEST_GPU", "0") in ("", "0"):
        return _skip("it needs a GPU; the simulated device has checks of its own")
    if options.command == "ncu":
        return profile(options.size, options.report)
    return sanitize(options.tool)


def sanitize(tool: str) -> int:
    """Run two tests; return 1 if the tool reports an error, `SKIPPED` if it or the tests cannot run here."""
    if shutil.which("compute-sanitizer") is None:
        return _skip("compute-sanitizer is not installed")
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20"]
    # The tests notice failed calls themselves; CuPy makes some that may fail.
    command += ["--report-api-errors", "no"]
    command += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout"]
    command += [
        "-o",
        "filterwarnings=default",
        *(f"tests/kernels/test_cuda_stages.py::{test}" for test in TESTS),
    ]
    status, output = _run(command, {"SUPERPIXEL_TEST_SANITIZER": "1"})
    # First: a tool that refuses the device may count that as an error.
    if refused := _REFUSED.search(output):
        return _skip(f"compute-sanitizer: {refused[0].strip()}")
    if status == FOUND:
        return 1
    if status != 0:
        return _skip(
            f"compute-sanitizer reported no error, but the tests ended with status {status} under it"
        )
    if not _CLEAN.search(output):
        return _skip("compute-sanitizer printed no summary, so it may have checked nothing")
    return 0


def profile(size: str, report: Path) -> int:
    """Profile one image and print a row per kernel; return `SKIPPED` if ncu cannot do it here."""
    if shutil.which("ncu") is None:
        return _skip("ncu is not installed")
    # The clocks stay as they are: the machine is not ours alone.
    command = ["ncu", "--clock-control", "none", "--force-overwrite", "--export", str(report)]
    command += ["--metrics", ",".join(METRICS), "--section", "LaunchStats", "--section", "Occupancy"]
    command += [sys.executable, "-m", "tools.gpu.smoke", "--sizes", size, "--once"]
    status, output = _run(command, {})
    if status != 0 or not report.exists():
        found = _REFUSED.search(output)
        return _skip(f"ncu: {found[0].strip() if found else f'exit status {status}'}")
    raw = subprocess.run(  # noqa: S603
        ["ncu", "--import", str(report), "--csv", "--page", "raw", "--metrics", ",".join(METRICS)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    for line in table(raw.stdout):
        print(line)
    return 0


def table(raw: str) -> list[str]:
    """Return a line per kernel launch from ncu's CSV page `raw`, whose second line has the units."""
    lines = [line for line in raw.splitlines() if line.startswith('"')]
    header, units, *rows = list(csv.reader(lines)) or [[], []]
    names = [name for name in METRICS if name in header]
    result = ["kernel  grid  block  " + "  ".join(f"{METRICS[name]}" for name in names)]
    result.append("ncu's units: " + ", ".join(f"{name} {units[header.index(name)]}" for name in names))
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        place = [cells.get(name, "") for name in ("Kernel Name", "Grid Size", "Block Size")]
        result.append("  ".join([*place, *(cells[name] for name in names)]))
    return result


def _run(command: Sequence[str], more: dict[str, str]) -> tuple[int, str]:
    """Run a program and print what it writes; return its status and its output."""
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **more}
    ) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def _skip(reason: str) -> int:
    print(reason)
    return SKIPPED


if __name__ == "__main__":
    sys.exit(main())
