"""What a data set costs per image on a Ray cluster and in one process: processor time, memory, bytes.

`python -m benchmarks.data_sets --photos FOLDER [--json FILE]`. Each engine segments 100 and then 900
photographs, in turns; each round begins with the other engine. The difference is free of what it costs to
start. Two ratios of throughput count. By processor time of all processes: other work on the machine changes
it little. By the clock: on an idle machine only. `actors`, `driver` and `daemons` are the parts of the
processor time on Ray. The daemons use a little of a core all the time, so their share grows if the machine
is slow.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

_FEW, _MANY = 100, 900
_GOAL = 0.85
_POLL_SECONDS = 0.1


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs, used repeatedly")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="cores of each engine")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found_photos = sorted(given.photos.rglob("*.jpg"))
    if not found_photos:
        parser.error(f"{given.photos}: has no .jpg files")
    results: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{index:04}.jpg" for index in range(_MANY)]
        for index, link in enumerate(photos):
            link.symlink_to(found_photos[index % len(found_photos)].resolve())
        for turn in range(given.repeats):
            for engine in ("local", "ray") if turn % 2 == 0 else ("ray", "local"):
                found = results[engine]
                few = _measured(Path(folder), photos[:_FEW], engine, given.jobs)
                many = _measured(Path(folder), photos, engine, given.jobs)
                per_image = 1000 / (_MANY - _FEW)
                found.append(
                    {
                        f"{name}_ms_per_image": per_image * (many[name] - few[name])
                        for name in ("wall", "cpu", "actors", "driver", "daemons")
                    }
                    | {
                        "peak_mib": many["peak"] / 2**20,
                        "wall": many["wall"],
                        "bytes_per_map": many["bytes_written"] / _MANY,
                        "manifest_bytes_per_image": many["manifest"] / _MANY,
                    }
                )
    middle = {
        engine: {name: statistics.median(each[name] for each in found) for name in found[0]}
        for engine, found in results.items()
    }
    ratios = {
        "by_processor_time": middle["local"]["cpu_ms_per_image"] / middle["ray"]["cpu_ms_per_image"],
        "by_clock": middle["local"]["wall_ms_per_image"] / middle["ray"]["wall_ms_per_image"],
        "by_processor_time_of_actors": middle["local"]["cpu_ms_per_image"]
        / middle["ray"]["actors_ms_per_image"],
    }
    facts = {"load_average": os.getloadavg(), "goal": _GOAL, "throughput_ratio": ratios}
    text = json.dumps({"median": middle, "all": results} | facts, indent=2)
    print(text)  # noqa: T201
    if given.json:
        given.json.write_text(text + "\n")


def _measured(folder: Path, photos: list[Path], engine: str, jobs: int) -> dict[str, float]:
    source, out, report = folder / "in.txt", folder / "out", folder / "report.json"
    source.write_text("".join(f"{photo}\n" for photo in photos))
    shutil.rmtree(out, ignore_errors=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "superpixel_service", "bulk", str(source), "--out", str(out)]
    flags = ["--format", "shards", "--engine", engine, "--jobs", str(jobs), "--report", str(report)]
    begin = time.monotonic()
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL)  # noqa: S603
    cpu: dict[int, float] = {}
    actors: set[int] = set()
    peak = 0.0
    while process.poll() is None:
        now = 0
        for each in _tree(process.pid):
            try:
                times = each.cpu_times()
                cpu[each.pid] = times.user + times.system
                now += each.memory_info().rss
                if each.pid not in actors and "MapWorker" in "".join(each.cmdline()):
                    actors.add(each.pid)
            except psutil.Error:
                continue
        peak = max(peak, now)
        time.sleep(_POLL_SECONDS)
    facts: dict[str, Any] = json.loads(report.read_text())
    if facts["made"] != len(photos):
        raise SystemExit(f"{engine}: {facts['made']} of {len(photos)} label maps")
    return {
        "cpu": sum(cpu.values()),
        "actors": sum(cpu[pid] for pid in actors),
        "driver": cpu[process.pid],
        "daemons": sum(spent for pid, spent in cpu.items() if pid != process.pid and pid not in actors),
        "peak": peak,
        "wall": time.monotonic() - begin,
        "bytes_written": facts["bytes_written"],
        "manifest": sum(part.stat().st_size for part in (out / "manifest").iterdir()),
    }


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


if __name__ == "__main__":
    main()
