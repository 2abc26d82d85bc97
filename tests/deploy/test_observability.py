"""Rules, alerts and dashboard: by promtool, by their names, and by a real Prometheus."""

import io
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from PIL import Image

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.deploy.conftest import DEPLOY, ROOT, TOOLS, Rendered
from tests.service.certificates import Authority, SecretFolder
from tests.service.harness import CHANNEL_OPTIONS, request, running_server
from tests.service.images import encoded, scene
from tests.service.test_metrics_table import VALUES, table

RUNBOOK = DEPLOY / "runbook"
DASHBOARD = DEPLOY / "components" / "grafana-dashboard" / "superpixel.json"
OF_SCRAPING = {"job", "instance", "pod", "namespace"}
ONLY_ON_A_GPU = "superpixel_gpu_memory_used_bytes"
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def rules(everything: dict[str, Rendered]) -> dict[str, Any]:
    """A rule file, as a plain Prometheus takes it."""
    spec: dict[str, Any] = everything["cpu-full"].one("PrometheusRule")["spec"]
    return spec


@pytest.fixture(scope="module")
def dashboard(everything: dict[str, Rendered]) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(
        everything["cpu-full"].config_map("superpixel-dashboard")["superpixel.json"]
    )
    return board


def expressions(board: dict[str, Any]) -> list[str]:
    """Of all panels, as Grafana sends them."""
    found = []
    for panel in board["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return [text.replace("$__rate_interval", "1m").replace("$pod", ".*") for text in found]


def rule_expressions(rules: dict[str, Any]) -> list[str]:
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def recorded(rules: dict[str, Any]) -> set[str]:
    return {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]


def adapter_rule(everything: dict[str, Rendered]) -> dict[str, Any]:
    (rule,) = yaml.safe_load(everything["cpu-full"].config_map("superpixel-adapter-rules")["rules.yaml"])[
        "rules"
    ]
    return rule


def adapter_expression(rule: dict[str, Any]) -> str:
    """The rule's query, as the adapter asks it for the pods of a namespace."""
    series = rule["seriesQuery"].partition("{")[0]
    text = rule["metricsQuery"].replace("<<.Series>>", series)
    return text.replace("<<.LabelMatchers>>", 'namespace="superpixel",pod=~"a|b"').replace(
        "<<.GroupBy>>", "pod"
    )


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Names that a server gives, with the labels that the document's table has for them."""
    with running_server() as server:
        text = server.metrics_text()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    documented = table()
    found: dict[str, set[str]] = {"up": set()}
    for name, kind in types.items():
        base = name.removesuffix("_total")
        labels = documented.get(base, set())
        if kind == "histogram":
            found |= {f"{name}_{part}": labels | {"le"} for part in ("bucket", "sum", "count")}
        elif not name.endswith("_created"):
            found[name] = labels
    return found


def test_every_expression_names_metrics_labels_and_values_that_exist(
    everything: dict[str, Rendered],
    rules: dict[str, Any],
    dashboard: dict[str, Any],
    known: dict[str, set[str]],
) -> None:
    rule = adapter_rule(everything)
    texts = [*rule_expressions(rules), *expressions(dashboard), adapter_expression(rule)]
    told = subprocess.run(
        [TOOLS / "python", Path(__file__).with_name("promql.py")],
        input=json.dumps(texts),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    named = set()
    for text, selectors in zip(texts, json.loads(told), strict=True):
        assert selectors, text
        for selector in selectors:
            name = selector["name"]
            named.add(name)
            if name in recorded(rules):
                continue
            assert name in known, f"no such metric: {name}, in {text}"
            for label, value in selector["matchers"].items():
                assert label in known[name] | OF_SCRAPING, f"{name} has no label {label}"
                if label in VALUES:
                    wrong = set(value.split("|")) - VALUES[label]
                    assert not wrong, f"{label} is never {wrong}"
    assert {"superpixel_queue_pixels", "superpixel_ready", ONLY_ON_A_GPU} <= named
    (metric,) = [
        metric["pods"]["metric"]["name"]
        for metric in everything["cpu-full"].one("HorizontalPodAutoscaler")["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert metric == rule["name"]["as"] == rule["seriesQuery"].partition("{")[0]


def test_the_autoscaler_counts_interactive_work_alone(
    everything: dict[str, Rendered], tmp_path: Path
) -> None:
    series = [
        {
            "series": f'superpixel_queue_pixels{{namespace="superpixel",pod="{pod}",lane="{lane}"}}',
            "values": f"{pixels}x5",
        }
        for pod, lane, pixels in (("a", "interactive", 3), ("a", "bulk", 50), ("b", "interactive", 4))
    ]
    wanted = {
        "expr": adapter_expression(adapter_rule(everything)),
        "eval_time": "3m",
        "exp_samples": [{"labels": '{pod="a"}', "value": 3}, {"labels": '{pod="b"}', "value": 4}],
    }
    file = {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [wanted]}]}
    (tmp_path / "adapter.yaml").write_text(yaml.safe_dump(file))
    told = subprocess.run(
        ["promtool", "test", "rules", "adapter.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_texts_tell_the_queues_target_and_threshold(
    everything: dict[str, Rendered], rules: dict[str, Any], dashboard: dict[str, Any]
) -> None:
    (target,) = [
        metric["pods"]["target"]["averageValue"]
        for metric in everything["cpu-full"].one("HorizontalPodAutoscaler")["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    aim = f"{target.removesuffix('M')} million"
    (alert,) = [alert for alert in alerts(rules) if alert["alert"] == "SuperpixelQueueLong"]
    threshold = float(alert["expr"].rpartition("> ")[2]) / 1e6
    (panel,) = [panel for panel in dashboard["panels"] if panel["title"] == "Waiting pixels"]
    assert f"target is {aim} of the" in panel["description"]
    page = (RUNBOOK / "SuperpixelQueueLong.md").read_text().replace("\n", " ")
    assert f"more than {threshold:g} million pixels" in page
    assert f"twice the autoscaler's target ({aim})" in page
    assert threshold == 2 * float(target.removesuffix("M"))
    settings = everything["cpu-full"].config_map("superpixel-settings")
    assert f"{settings['SUPERPIXEL_MAX_INFLIGHT_CALLS']} calls at once" in page


def test_alerts_fire_when_they_should_by_promtool(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    tests = Path(__file__).with_name("alerts.test.yaml")
    shutil.copy(tests, tmp_path)
    told = subprocess.run(
        ["promtool", "test", "rules", tests.name], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stdout + told.stderr
    cases = []
    for test in yaml.safe_load(tests.read_text())["tests"]:
        cases += test.get("alert_rule_test", ())
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == {alert["alert"] for alert in alerts(rules)}


def test_every_alert_has_its_page_and_every_page_its_alert(rules: dict[str, Any]) -> None:
    pages = {page.stem for page in RUNBOOK.glob("*.md")}
    assert pages == {alert["alert"] for alert in alerts(rules)}
    for alert in alerts(rules):
        assert alert["annotations"]["runbook"] == f"deploy/runbook/{alert['alert']}.md"
        assert alert["labels"]["severity"] in {"critical", "warning"}
    for page in RUNBOOK.glob("*.md"):
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (RUNBOOK / target.partition("#")[0]).exists()


def test_the_dashboard_is_whole(dashboard: dict[str, Any], tmp_path: Path) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        box = panel["gridPos"]
        assert box["x"] + box["w"] <= 24
        cells = {
            (x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or (panel["description"] and panel["targets"])
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            # A bucket has the counts of all below it; Grafana takes them apart for this format alone.
            by_bucket = "_bucket" in target["expr"] and "quantile" not in target["expr"]
            assert (target.get("format") == panel["type"] == "heatmap") is by_bucket, panel["title"]
    rules = [{"record": f"panel:{i}", "expr": text} for i, text in enumerate(expressions(dashboard))]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    told = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr


# ---- a real Prometheus ------------------------------------------------------------------------------------


def sped_up(rules: dict[str, Any]) -> dict[str, Any]:
    """A minute becomes half a second, which is a scrape; what is compared with what stays."""

    def shorter(text: str) -> str:
        minutes = {"m": 1, "h": 60, "d": 1440}
        return re.sub(
            r"(?<=[\[ ])(\d+)([mhd])\b", lambda found: f"{int(found[1]) * minutes[found[2]] * 500}ms", text
        )

    groups = json.loads(json.dumps(rules["groups"]))
    for group in groups:
        group["interval"] = "500ms"
        for rule in group["rules"]:
            rule["expr"] = shorter(rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(" " + rule["for"]).strip()
    return {"groups": groups}


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as page:
            return json.load(page)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self._get("alerts")["alerts"] if a["state"] == "firing"}

    def seen(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                if condition():
                    return True
            except OSError:  # it is not up yet
                pass
            time.sleep(0.1)
        return False


@contextmanager
def running_prometheus(folder: Path, rules: dict[str, Any], target: str) -> Iterator[Prometheus]:
    """One that scrapes the target twice a second, as the PodMonitor would have it labelled."""
    scrape = {
        "job_name": "superpixel",
        "static_configs": [{"targets": [target], "labels": {"namespace": "superpixel", "pod": "a"}}],
    }
    wanted = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(wanted))
    with (folder / "log").open("w") as log:
        options = (
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        )
        process = subprocess.Popen(["prometheus", *options], cwd=folder, stderr=log)
        try:
            found = None
            end = time.monotonic() + PATIENCE_SECONDS
            while found is None:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                found = re.search(r"msg=\"Listening on\" address=(\S+)", (folder / "log").read_text())
                time.sleep(0.05)
            yield Prometheus(found[1])
        finally:
            process.kill()
            process.wait()


@contextmanager
def load(stub: pb_grpc.SuperpixelServiceStub) -> Iterator[None]:
    """More callers than the server has room for, in both lanes, good images and bad ones, until the end."""
    over = threading.Event()
    photo = Image.open(ROOT / "examples" / "photos" / "astronaut.jpg").convert("RGB").resize((1000, 900))
    file = io.BytesIO()
    photo.save(file, "JPEG")
    large = file.getvalue()

    def call(number: int) -> None:
        calls = 0
        while not over.is_set():
            calls += 1
            source = (
                b"no image"
                if (number, calls % 5) == (0, 0)
                else large + number.to_bytes(1) + calls.to_bytes(4)
            )
            try:
                stub.Segment(request(source, 100), timeout=20)
            except grpc.RpcError:
                over.wait(0.02)

    def stream() -> None:
        small = encoded(scene())

        def messages() -> Iterator[pb.SegmentStreamRequest]:
            while not over.is_set():
                yield pb.SegmentStreamRequest(request_id="x", request=request(small, 5))
                over.wait(0.05)

        for _ in stub.SegmentStream(messages()):
            pass

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    threads.append(threading.Thread(target=stream))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_real_prometheus_finds_everything_and_alerts(
    everything: dict[str, Rendered], rules: dict[str, Any], dashboard: dict[str, Any], tmp_path: Path
) -> None:
    authority = Authority()
    pair = authority.issue("127.0.0.1")  # for a day: soon to end
    secret = SecretFolder(tmp_path, cert=pair.chain, key=pair.key)
    flags = [f"--tls-cert-file={tmp_path / 'cert'}", f"--tls-key-file={tmp_path / 'key'}"]
    flags += ["--workers=1", "--max-inflight-calls=3", "--cache-bytes=10000000", "--max-streams=1"]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with running_server(*flags) as server:
        channel = grpc.secure_channel(server.listen, authority.credentials(), options=CHANNEL_OPTIONS)
        with channel, running_prometheus(folder, sped_up(rules), server.metrics_address) as prometheus:
            with load(pb_grpc.SuperpixelServiceStub(channel)):
                asked = [
                    *expressions(dashboard),
                    *recorded(rules),
                    adapter_expression(adapter_rule(everything)),
                ]
                asked = [text.replace("[1m]", "[5s]") for text in asked if ONLY_ON_A_GPU not in text]
                empty = set(asked)

                def all_answered() -> bool:
                    for text in sorted(empty):
                        if prometheus.query(text):
                            empty.discard(text)
                    return not empty

                assert prometheus.seen(all_answered), empty
                expected = {"SuperpixelRefusing", "SuperpixelCertificateExpires"}
                assert prometheus.seen(lambda: expected <= prometheus.firing()), prometheus.firing()
                # Others may, where this machine is slow.
                assert not prometheus.firing() & {"SuperpixelFaults", "SuperpixelBug", "SuperpixelRestarting"}
                secret.put(cert=np.random.default_rng(1).bytes(900))
                assert prometheus.seen(lambda: "SuperpixelReloadFailed" in prometheus.firing())
            assert prometheus.seen(lambda: "SuperpixelRefusing" not in prometheus.firing())
            server.process.kill()
            assert prometheus.seen(lambda: "SuperpixelDown" in prometheus.firing())
