"""tools/gpu/check.sh: what happens to its steps, and that a rehearsal shows no figures as a GPU's."""

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from tools.gpu import MARK, SKIPPED, check, engine, kit, nvidia, runner
from tools.gpu.runner import Step, run_all

ROOT = Path(__file__).parents[2]
SH = "/bin/bash"


def shell(script: str) -> list[str]:
    return [SH, "-c", script]


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    monkeypatch.setattr(runner, "GRACE", 0.5)


def run(tmp_path, *steps, seconds=60.0, mark=""):
    start = time.monotonic()
    passed = run_all(steps, tmp_path, seconds=seconds, environment=dict(os.environ), mark=mark)
    return passed, (tmp_path / "summary.txt").read_text(), time.monotonic() - start


def rows(summary):
    """Step to result and note."""
    return {line.split()[0]: re.sub(r"^\S+ +(essential +)?", "", line) for line in summary.splitlines()[1:-1]}


# --- steps --------------------------------------------------------------------------------------------------


def test_a_failed_step_does_not_stop_the_next(tmp_path, capsys):
    steps = (
        Step("fails", 10, shell("echo first; echo the reason >&2; exit 3")),
        Step("missing", 10, ["/no/such/program"]),
        Step("works", 10, shell("echo still here")),
    )
    passed, summary, _ = run(tmp_path, *steps)
    assert not passed
    assert summary.splitlines()[-1] == "all essential steps passed: NO"
    assert rows(summary)["fails"].startswith("FAILED")
    assert "exit status 3: the reason" in rows(summary)["fails"]
    assert "No such file" in rows(summary)["missing"]
    assert rows(summary)["works"].startswith("ok")
    out = capsys.readouterr().out
    assert out == (tmp_path / "check.log").read_text()
    assert out.endswith(summary)
    assert "still here" in out


HANGS = {
    "sleeps": shell("echo begun; sleep 600"),
    "ignores signals": shell("trap '' TERM ABRT INT; echo begun; while true; do sleep 1; done"),
    "leaves a child behind": shell("echo begun; sleep 600 & wait"),
    "leaves a child in another session": shell("echo begun; setsid sleep 120 & sleep 600"),
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_hung_step_ends_at_its_limit(hang, tmp_path):
    passed, summary, took = run(
        tmp_path, Step("hangs", 1.5, HANGS[hang]), Step("works", 30, shell("echo here"))
    )
    assert not passed
    assert took < 100
    assert rows(summary)["hangs"].startswith("TIMED OUT")
    assert rows(summary)["works"].startswith("ok")
    assert "begun" in (tmp_path / "check.log").read_text()


def test_children_of_a_step_end_with_it(tmp_path):
    _, summary, took = run(
        tmp_path, Step("forks", 30, shell("sleep 600 & echo $! > " + str(tmp_path / "pid")))
    )
    assert rows(summary)["forks"].startswith("ok")
    assert took < 100
    end = time.monotonic() + 100
    while Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_hung_python_program_says_where_it_hung(tmp_path):
    step = Step(
        "hangs", 3, [sys.executable, "-X", "faulthandler", "-c", "def here():\n  while True: pass\nhere()"]
    )
    run(tmp_path, step)
    assert "in here" in (tmp_path / "check.log").read_text()


def test_steps_without_time_left_do_not_run(tmp_path):
    sleeps = shell("sleep 600")
    steps = (Step("long", 20, sleeps), Step("next", 20, sleeps), Step("tool", 20, sleeps, may_skip=True))
    passed, summary, took = run(tmp_path, *steps, seconds=1.5)
    assert not passed
    assert took < 100
    assert rows(summary)["long"].startswith("TIMED OUT")
    assert rows(summary)["next"].startswith("not run")
    assert "no time left" in rows(summary)["tool"]


@pytest.mark.parametrize(
    ("script", "options", "result", "passes"),
    [
        ("exit 0", {}, "ok", True),
        ("exit 1", {}, "FAILED", False),
        ("exit 1", {"essential": False}, "FAILED", True),
        ("exit 1", {"may_skip": True}, "FAILED", False),
        (f"echo no such tool; exit {SKIPPED}", {"may_skip": True}, "skipped", True),
        (f"exit {SKIPPED}", {}, "FAILED", False),
        ("sleep 30", {}, "TIMED OUT", False),
        ("sleep 30", {"essential": False}, "TIMED OUT", True),
        ("sleep 30", {"may_skip": True}, "TIMED OUT", True),
        ("kill -SEGV $$", {}, "FAILED", False),
    ],
)
def test_what_makes_a_run_pass(script, options, result, passes, tmp_path):
    passed, summary, _ = run(tmp_path, Step("it", 1.5 if "sleep" in script else 60, shell(script), **options))
    assert rows(summary)["it"].startswith(result)
    assert passed is passes
    assert summary.endswith(f"all essential steps passed: {'yes' if passes else 'NO'}\n")


def test_sigterm_still_writes_the_table(tmp_path):
    program = (
        "import os, pathlib, sys; from tools.gpu.runner import Step, run_all;"
        "steps = [Step('hangs', 60, ['/bin/sleep', '60']), Step('next', 60, ['/bin/true'])];"
        "sys.exit(not run_all(steps, pathlib.Path(sys.argv[1]), seconds=60, environment=os.environ))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert b"hangs" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=500)[0].decode()
    assert process.returncode == 1
    assert rows((tmp_path / "summary.txt").read_text())["next"].startswith("not run")
    assert output.endswith("all essential steps passed: NO\n")


def test_every_line_of_a_rehearsal_is_marked(tmp_path, capsys):
    script = "echo 12.5 ms; printf 'no newline at the end'; echo error >&2"
    _, summary, _ = run(
        tmp_path, Step("works", 10, shell(script)), Step("fails", 10, shell("exit 1")), mark=MARK
    )
    out = capsys.readouterr().out
    for text in (out, summary, (tmp_path / "check.log").read_text()):
        assert all(line.startswith(MARK) for line in text.splitlines())
    assert f"{MARK}12.5 ms\n" in out


# --- the real steps -----------------------------------------------------------------------------------------


def test_the_steps_fit_a_lent_machine(tmp_path):
    on_gpu = {step.name: step for step in check.steps(tmp_path, tmp_path, rehearse=False)}
    rehearsed = {step.name: step for step in check.steps(tmp_path, tmp_path, rehearse=True)}
    assert list(on_gpu) == list(rehearsed)
    assert check.SECONDS + 3 * 4.0 <= 8 * 60
    assert on_gpu["smoke"].seconds <= 60
    assert {name for name, step in on_gpu.items() if not step.essential} == {"sweep", "ncu-1080p", "ncu-4k"}
    assert {name for name, step in on_gpu.items() if step.may_skip} == {
        "install", "ncu-1080p", "ncu-4k", "memcheck", "racecheck",
    }  # fmt: skip
    written = {
        Path(word).name for step in on_gpu.values() for word in step.command if word.startswith(str(tmp_path))
    }
    assert written - {"site"} <= set(check.FILES)
    assert len(check.FILES) <= 8


def test_only_a_rehearsal_uses_the_simulated_device(tmp_path):
    for step in check.steps(tmp_path, tmp_path, rehearse=False):
        assert "--simulate" not in step.command
    for step in check.steps(tmp_path, tmp_path, rehearse=True):
        uses_a_device = step.name in ("engine", "smoke", "tiled", "bench", "sweep")
        assert ("--simulate" in step.command) is uses_a_device
    assert check.environment(tmp_path, rehearse=True)["SUPERPIXEL_TEST_GPU"] == "0"
    assert check.environment(tmp_path, rehearse=False)["SUPERPIXEL_TEST_GPU"] == "1"


def run_script(tmp_path, *flags):
    return subprocess.run(
        [ROOT / "tools" / "gpu" / "check.sh", *flags],
        env={**os.environ, "OUT": str(tmp_path), "GPU_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )


def test_a_rehearsal_passes_here(tmp_path):
    (tmp_path / "sweep.json").write_text("of an earlier run")
    done = run_script(tmp_path, "--rehearse", "--only", "engine", "smoke", "tiled", "memcheck")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith(MARK) for line in done.stdout.splitlines())
    results = rows((tmp_path / "summary.txt").read_text().replace(MARK, ""))
    statuses = {name: results[name].split()[0] for name in ("engine", "smoke", "tiled", "memcheck")}
    assert statuses == {"engine": "ok", "smoke": "ok", "tiled": "ok", "memcheck": "skipped"}
    assert {path.name for path in tmp_path.iterdir()} == {"check.log", "summary.txt"}


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_simulated_by_itself(tmp_path):
    done = run_script(tmp_path, "--only", "engine", "smoke")
    assert done.returncode == 1
    assert "backend 'cuda': " in done.stdout
    assert "CUDA simulated" not in done.stdout
    results = rows((tmp_path / "summary.txt").read_text())
    assert results["engine"].startswith("FAILED")
    assert results["smoke"].startswith("FAILED")


@pytest.mark.parametrize(("flags", "installs"), [([], True), (["--installed"], False)])
def test_the_kit_is_left_alone_if_the_package_is_installed(flags, installs, tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setattr(check, "run_all", lambda steps, *_, **__: chosen.extend(steps) or True)
    assert check.main(flags) == 0
    assert ("install" in {step.name for step in chosen}) is installs
    assert "engine" in {step.name for step in chosen}


def test_an_unknown_step_is_an_error(tmp_path):
    done = run_script(tmp_path, "--only", "smokes")
    assert done.returncode == 2
    assert "no such step: smokes" in done.stderr


# --- NVIDIA's tools, played by shell scripts ----------------------------------------------------------------


def play(tmp_path, monkeypatch, name, script):
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SUPERPIXEL_TEST_GPU", "1")


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        ("echo '2 passed'; echo '========= ERROR SUMMARY: 0 errors'", 0, "0 errors"),
        ("echo '==== RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)'", 0, "0 hazards"),
        ("echo '========= Error: Race reported'; exit 86", 1, "Race reported"),
        ("echo '=== Error: Device not supported'; exit 86", SKIPPED, "not supported"),
        ("echo '2 passed'", SKIPPED, "no summary"),
        (
            "echo '========= Error: Device not supported'; echo 'error 999'; exit 1",
            SKIPPED,
            "Device not supported",
        ),
        ("echo 'everything failed'; exit 1", SKIPPED, "ended with status 1"),
    ],
)
def test_a_sanitizer(script, status, says, tmp_path, monkeypatch, capsys):
    play(tmp_path, monkeypatch, "compute-sanitizer", script)
    assert nvidia.main(["sanitizer", "racecheck"]) == status
    assert says in capsys.readouterr().out.splitlines()[-1]


def test_the_sanitizers_tests_exist():
    names = [f"tests/kernels/test_cuda_stages.py::{name}" for name in nvidia.TESTS]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"{len(nvidia.TESTS)} tests collected" in listed.stdout


NCU = """
if [ "$1" = --import ]; then
  echo '==PROF== a line of its own'
  echo '"ID","Kernel Name","Block Size","Grid Size","gpu__time_duration.sum","launch__registers_per_thread"'
  echo '"","","","","us","register/thread"'
  echo '"0","merge_rounds","(1024, 1, 1)","(132, 1, 1)","412.5","40"'
else
  while [ "$1" != --export ]; do shift; done; touch "$2"
fi
"""


@pytest.mark.parametrize(
    ("script", "status", "says"),
    [
        (NCU, 0, "merge_rounds  (132, 1, 1)  (1024, 1, 1)  412.5  40"),
        ("echo '==ERROR== ERR_NVGPUCTRPERM: no permission'; exit 1", SKIPPED, "ERR_NVGPUCTRPERM"),
        ("echo 'Failed to initialize the profiler: LibraryNotLoaded'", SKIPPED, "LibraryNotLoaded"),
    ],
)
def test_the_profiler(script, status, says, tmp_path, monkeypatch, capsys):
    play(tmp_path, monkeypatch, "ncu", script)
    assert nvidia.main(["ncu", "1920x1080", str(tmp_path / "report.ncu-rep")]) == status
    assert says in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["ncu", "60x40", "report"], ["sanitizer", "memcheck"]])
def test_a_tool_that_is_not_installed_is_skipped(arguments, monkeypatch, capsys):
    monkeypatch.setenv("SUPERPIXEL_TEST_GPU", "1")
    monkeypatch.setenv("PATH", "/no/such/folder")
    assert nvidia.main(arguments) == SKIPPED
    assert "is not installed" in capsys.readouterr().out


# --- the kit ------------------------------------------------------------------------------------------------


def test_the_kit_is_for_one_python(tmp_path, capsys):
    site = tmp_path / "site"
    assert engine.install(tmp_path, site) == SKIPPED
    (tmp_path / "superpixel_service-0.1.0-cp399-cp399-linux_x86_64.whl").touch()
    assert engine.install(tmp_path, site) == SKIPPED
    assert "another Python" in capsys.readouterr().out
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (tmp_path / f"superpixel_service-0.1.0-{tag}-{tag}-linux_x86_64.whl").touch()
    assert engine.install(tmp_path, site) not in (0, SKIPPED)  # no wheel in truth


def test_the_kit_is_installed_into_a_folder(tmp_path):
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    info = "superpixel_service-0.1.0.dist-info"
    with zipfile.ZipFile(tmp_path / f"superpixel_service-0.1.0-{tag}-{tag}-linux_x86_64.whl", "w") as wheel:
        wheel.writestr("brought_along.py", "here = True\n")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: superpixel-service\nVersion: 0.1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-linux_x86_64\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    assert engine.install(tmp_path, tmp_path / "site") == 0
    assert (tmp_path / "site" / "brought_along.py").exists()


def test_a_kit_needs_python_3_12(monkeypatch, tmp_path):
    assert kit.find_python("/no/such/python") is None
    wrong = tmp_path / "python3.12"
    wrong.write_text("#!/bin/sh\nexit 1\n")
    wrong.chmod(0o755)
    assert kit.find_python(str(wrong)) is None
    good = tmp_path / "good"
    good.write_text("#!/bin/sh\nexit 0\n")
    good.chmod(0o755)
    assert kit.find_python(str(good)) == str(good)
    monkeypatch.setattr(kit, "find_python", lambda _: None)
    assert kit.main(["--out", str(tmp_path / "kit")]) == 1
    assert not (tmp_path / "kit").exists()
