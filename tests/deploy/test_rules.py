"""Rules, alerts, runbook and dashboard: promtool's tests, and the names that they use."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import TOOLS, Rendered
from tests.deploy.monitoring import (
    ONLY_ON_A_GPU,
    RUNBOOK,
    adapter_expression,
    adapter_rule,
    alerts,
    expressions,
    recorded,
    rule_expressions,
)
from tests.service.harness import running_server
from tests.service.test_metrics_table import VALUES, table

OF_SCRAPING = {"job", "instance", "pod", "namespace"}
ALERT_TESTS = Path(__file__).with_name("alerts")


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The metrics that a server exports, with their labels from the table in docs/service.md."""
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


def test_expressions_use_metrics_labels_and_values_that_exist(
    everything: dict[str, Rendered],
    rules: dict[str, Any],
    dashboard: dict[str, Any],
    known: dict[str, set[str]],
) -> None:
    rule = adapter_rule(everything)
    texts = [*rule_expressions(rules), *expressions(dashboard), adapter_expression(rule)]
    done = subprocess.run(
        [TOOLS / "python", Path(__file__).with_name("promql.py")],
        input=json.dumps(texts),
        check=True,
        capture_output=True,
        text=True,
    )
    named = set()
    for text, selectors in zip(texts, json.loads(done.stdout), strict=True):
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


def test_the_queue_metric_counts_only_interactive_work(
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
    done = subprocess.run(
        ["promtool", "test", "rules", "adapter.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_texts_quote_the_queue_target_and_the_threshold(
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


def test_alerts_pass_promtools_tests(rules: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(ALERT_TESTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    files = sorted(path.name for path in ALERT_TESTS.iterdir())
    done = subprocess.run(["promtool", "test", "rules", *files], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = []
    for file in files:
        for test in yaml.safe_load((ALERT_TESTS / file).read_text())["tests"]:
            cases += test.get("alert_rule_test", ())
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == {alert["alert"] for alert in alerts(rules)}


def test_each_alert_has_one_runbook_page(rules: dict[str, Any]) -> None:
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


def test_the_dashboard_is_complete_and_its_queries_are_valid(
    dashboard: dict[str, Any], tmp_path: Path
) -> None:
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
            # Buckets are cumulative; Grafana subtracts them only in the format heatmap.
            by_bucket = "_bucket" in target["expr"] and "quantile" not in target["expr"]
            assert (target.get("format") == panel["type"] == "heatmap") is by_bucket, panel["title"]
    rules = [{"record": f"panel:{i}", "expr": text} for i, text in enumerate(expressions(dashboard))]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
