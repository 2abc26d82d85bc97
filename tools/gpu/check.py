"""Check the CUDA engine on this machine's GPU: correctness, tests, figures, NVIDIA's tools.

Writes all output to the folder that the environment variable OUT names: check.log, summary.txt, gpu.json,
sweep.json and two reports of Nsight Compute. Exit status 0: all essential steps passed.
"""

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.gpu import MARK, ROOT
from tools.gpu.runner import Step, run_all

SECONDS = 465.0
"""For all steps; with the time that a hung step takes to end, a run stays under eight minutes."""

FILES = ("check.log", "summary.txt", "gpu.json", "sweep.json", "ncu-1080p.ncu-rep", "ncu-4k.ncu-rep")
"""What a run may leave in its folder. At most 8 files are brought back from a lent machine."""

TESTS = tuple(
    f"tests/kernels/test_cuda_{part}.py" for part in ("stages", "calls", "memory", "graphs", "tiled")
)

REHEARSED_TESTS = (
    "test_cut or test_timings or test_one_workspace or test_tiles_and_images_in_turn "
    "or (test_every_stage and 60x40)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="tools/gpu/check.sh", description=__doc__)
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="use the simulated device and small images; every line begins with `simulated`",
    )
    parser.add_argument(
        "--installed", action="store_true", help="leave the kit alone: this Python has the package"
    )
    parser.add_argument("--only", nargs="+", metavar="STEP", help="run these steps; by default all")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for all steps together (default: %(default)g)"
    )
    options = parser.parse_args(arguments)
    out = Path(os.environ["OUT"]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # a hung step is ended by SIGABRT
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        chosen = steps(out, Path(work), rehearse=options.rehearse)
        if options.installed:
            chosen = [step for step in chosen if step.name != "install"]
        if options.only:
            if unknown := set(options.only) - {step.name for step in chosen}:
                parser.error(f"no such step: {', '.join(sorted(unknown))}")
            chosen = [step for step in chosen if step.name in options.only]
        passed = run_all(
            chosen,
            out,
            seconds=options.seconds,
            environment=environment(Path(work), rehearse=options.rehearse),
            mark=MARK if options.rehearse else "",
        )
    return 0 if passed else 1


def environment(work: Path, *, rehearse: bool) -> dict[str, str]:
    """Return the environment of the steps; `work` is a folder for what they install and compile."""
    paths = [str(work / "site"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "CUPY_CACHE_DIR": str(work / "cupy"),
        # Plugins of that machine's environment may not fit the pytest that was brought along.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SUPERPIXEL_TEST_GPU": "0" if rehearse else "1",
    }


def steps(out: Path, work: Path, *, rehearse: bool) -> list[Step]:
    """Return all steps, the most important first."""

    def python(*arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments]

    simulate = ["--simulate"] if rehearse else []
    smoke, bench, sweep, tests, tiled = ([] for _ in range(5))
    if rehearse:
        smoke = ["--sizes", "60x40", "128x96", "--runs", "2"]
        bench = ["--sizes", "60x40", "48x32", "--small", "48x32", "--rounds", "2", "--copy", "1000"]
        bench += ["--seconds", "0.2", "--threads", "2", "--service-seconds", "1", "--service-callers", "2"]
        bench += ["--service-workers", "1"]
        sweep = ["--sizes", "60x40", "--small", "24x16", "--rounds", "1", "--seconds", "0.1"]
        sweep += ["--threads", "1", "2", "--tail-edges", "48", "448", "--merge-threads", "64"]
        sweep += ["--merge-blocks", "2", "--few-edges", "100"]
        sweep += ["--pixel-threads", "64", "--tiles", "16"]
        tests = ["-k", REHEARSED_TESTS]
        tiled = ["--size", "150x90", "--tile", "64", "--runs", "1"]
    pytest = ["pytest", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-v", "--tb=short"]
    # A warning of another version of NumPy or CuPy is shown, and is no failure here.
    pytest += ["-o", "filterwarnings=default"]
    return [
        Step("install", 45, python("tools.gpu.engine", "install", str(work / "site")), may_skip=True),
        Step("engine", 170, python("tools.gpu.engine", "check", str(work / "site"), *simulate)),
        Step("smoke", 60, python("tools.gpu.smoke", *simulate, *smoke)),
        Step("tests", 120, python(*pytest, *TESTS, *tests)),
        Step("tiled", 60, python("tools.gpu.tiled", *simulate, *tiled)),
        Step("bench", 130, python("benchmarks.gpu", *simulate, *bench, "--json", str(out / "gpu.json"))),
        Step(
            "sweep",
            100,
            python("benchmarks.gpu_sweep", *simulate, *sweep, "--json", str(out / "sweep.json")),
            essential=False,
        ),
        *(
            Step(
                f"ncu-{name}",
                30,
                python("tools.gpu.nvidia", "ncu", size, str(out / f"ncu-{name}.ncu-rep")),
                essential=False,
                may_skip=True,
            )
            for name, size in (("1080p", "1920x1080"), ("4k", "3840x2160"))
        ),
        *(
            Step(tool, 45, python("tools.gpu.nvidia", "sanitizer", tool), may_skip=True)
            for tool in ("memcheck", "racecheck")
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
