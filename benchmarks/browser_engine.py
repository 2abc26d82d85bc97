"""The engine in WebAssembly, compared with the C++ engine (AVX2), each on one thread.

One Node process has the shipped module, superpixel.wasm (`make wasm`). It and this process segment the same
mosaic of photographs in turn. Single stages are elapsed times; sums are processor times. The labels of both
are compared before anything is timed. The SHA-256 of the pixels, which the module also computes, is left out.
"""

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import Pixels, add_data_arguments, mosaic
from benchmarks.report import Goal, make_parser, say, say_goals, say_table, write_json
from superpixel_kernels import Hierarchy, Workspace, segment

SIZES = ((640, 360), (1920, 1080))
MOST_RATIO = 2.0
WARM_ROUNDS = 5
"""Rounds that do not count: V8 compiles the module again, with its optimiser."""

NODE = Path(__file__).with_name("browser_engine.js")
ENGINE = NODE.parent.parent / "frontend" / "src" / "engine" / "superpixel.wasm"

STAGES = {
    "color and smooth": (("color",), ("color", "smooth")),
    "update and assign": (("assign",), ("update", "assign")),
    "components": (("components",), ("components",)),
    "graph": (("graph",), ("graph",)),
    "merge": (("merge",), ("merge",)),
}
"""Rows of the table: the stages of the module, and those of the C++ engine."""

WORK, MAP, WHOLE = "all stages", "tree, measurements, copies", "`segment` as a whole"


@dataclass(frozen=True, slots=True)
class Row:
    """One stage, or a sum.

    Attributes:
        size: of the image.
        stage: its name.
        cpp_ms, wasm_ms: the least times of all rounds.
        ratio: of the least times.
        median_ratio: of the times within each round.
    """

    size: str
    stage: str
    cpp_ms: float
    wasm_ms: float
    ratio: float
    median_ratio: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("browser_engine", __doc__)
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=60, help="rounds per image (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not ENGINE.exists():
        raise SystemExit(f"{ENGINE} is missing: run `make wasm`")
    rows = [
        row for width, height in SIZES for row in measure(mosaic(options.data, width, height), options.rounds)
    ]
    say_table(
        f"Milliseconds of one thread, the least of {options.rounds} rounds",
        ("image", "stage", "C++, AVX2", "WebAssembly", "ratio", "median ratio"),
        [tuple(asdict(row).values()) for row in rows],
    )
    goals = [
        Goal.at_most(f"WebAssembly over C++, {row.size}", row.ratio, MOST_RATIO)
        for row in rows
        if row.stage == WORK and row.size == "1920x1080"
    ]
    say_goals(goals)
    write_json(options.json, {"browser_engine": [asdict(row) for row in rows]}, goals)


def measure(image: Pixels, rounds: int) -> list[Row]:
    """Time both engines in turn on an image, (height, width, 3) RGB.

    Raises:
        SystemExit: their labels differ.
    """
    height, width = image.shape[:2]
    workspace = Workspace(threads=1)
    with in_node(image) as run:
        hierarchy = segment(image, workspace=workspace)
        answer = run()
        labels = np.ascontiguousarray(hierarchy.cut(hierarchy.base_count), np.int32)
        if answer["digest"] != hashlib.sha256(labels.tobytes()).hexdigest():
            raise SystemExit(f"{width}x{height}: the labels differ")
        names = (*STAGES, WORK, MAP, WHOLE)
        cpp: dict[str, list[float]] = {name: [] for name in names}
        wasm: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds + WARM_ROUNDS):
            times = time_cpp(image, workspace)
            theirs = times_of(run()["seconds"])
            if number < WARM_ROUNDS:
                continue
            for name in cpp:
                cpp[name].append(times[name])
                wasm[name].append(theirs[name])
    say(f"{width}x{height}: done, {hierarchy.base_count} base regions, equal labels")
    return [
        Row(
            f"{width}x{height}",
            name,
            1000 * min(cpp[name]),
            1000 * min(wasm[name]),
            min(wasm[name]) / min(cpp[name]),
            median(b / a for a, b in zip(cpp[name], wasm[name], strict=True)),
        )
        for name in cpp
    ]


def time_cpp(image: Pixels, workspace: Workspace) -> dict[str, float]:
    """Seconds of the C++ engine, by the rows of the table."""
    start = time.process_time()
    hierarchy = segment(image, workspace=workspace)
    done = time.process_time()
    make_map(hierarchy)
    end = time.process_time()
    times = {name: sum(hierarchy.timings[stage] for stage in stages) for name, (_, stages) in STAGES.items()}
    return {**times, WORK: done - start, MAP: end - done, WHOLE: end - start}


def make_map(hierarchy: Hierarchy) -> None:
    """Make what `segment` of the npm package returns: labels, tree, heights and measurements of the base."""
    count = hierarchy.base_count
    hierarchy.cut(count)
    hierarchy.tree(count)
    hierarchy.heights(count)
    hierarchy.regions(count)


def times_of(seconds: dict[str, dict[str, float]]) -> dict[str, float]:
    """Seconds of the module, by the rows of the table, from those of its own stages."""
    times = {name: sum(seconds[stage]["wall"] for stage in stages) for name, (stages, _) in STAGES.items()}
    work = sum(seconds[stage]["cpu"] for stages, _ in STAGES.values() for stage in stages)
    whole = sum(stage["cpu"] for stage in seconds.values())
    return {**times, WORK: work, MAP: whole - work, WHOLE: whole}


@contextmanager
def in_node(image: Pixels) -> Iterator[Any]:
    """Yield a function that runs the module once in a Node process, and returns its answer."""
    height, width = image.shape[:2]
    with tempfile.NamedTemporaryFile() as file:
        file.write(image.tobytes())
        file.flush()
        command = ["node", "--no-warnings", str(NODE), file.name, str(width), str(height)]
        with subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            to, back = process.stdin, process.stdout
            assert to is not None  # noqa: S101
            assert back is not None  # noqa: S101

            def run() -> dict[str, Any]:
                to.write("run\n")
                to.flush()
                answer: dict[str, Any] = json.loads(back.readline())
                return answer

            try:
                yield run
            finally:
                to.close()


if __name__ == "__main__":
    main()
