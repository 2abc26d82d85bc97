"""The expressions of the rules, the dashboard and the Prometheus adapter."""

from typing import Any

import yaml

from tests.deploy.conftest import DEPLOY, Rendered

RUNBOOK = DEPLOY / "runbook"
ONLY_ON_A_GPU = "superpixel_gpu_memory_used_bytes"


def expressions(board: dict[str, Any]) -> list[str]:
    """All queries of the dashboard, as Grafana sends them."""
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
    """The rule's query, as the adapter sends it for two pods."""
    series = rule["seriesQuery"].partition("{")[0]
    text = rule["metricsQuery"].replace("<<.Series>>", series)
    return text.replace("<<.LabelMatchers>>", 'namespace="superpixel",pod=~"a|b"').replace(
        "<<.GroupBy>>", "pod"
    )
