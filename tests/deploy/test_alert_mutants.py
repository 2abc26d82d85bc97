"""Mutation test of the alerts: promtool's tests must detect a changed threshold, window, label or operand."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import DEPLOY, Rendered

Rule = dict[str, Any]

TESTS: list[dict[str, Any]] = [
    test
    for file in sorted(Path(__file__).with_name("alerts").iterdir())
    for test in yaml.safe_load(file.read_text())["tests"]
]
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e\d+)?(?![\w.])")
WINDOW = re.compile(r"(?<=[\[ ])(\d+)([mh])\b")
MATCHER = re.compile(r',(\w+)(=~?)"([^"]*)"')
JOINT = re.compile(r"\s(?:and|or|unless)\s")


def mutated_numbers(text: str) -> Iterator[str]:
    for found in NUMBER.finditer(text):
        value = float(found[0])
        wrong = (value * 0.9, value * 1.1)
        if value.is_integer() and value < 10:
            wrong = (value - 1, value + 1)
        yield from (f"{text[: found.start()]}{other!r}{text[found.end() :]}" for other in wrong)


def mutated_windows(text: str) -> Iterator[str]:
    for amount, unit in set(WINDOW.findall(text)):
        minutes = int(amount) * {"m": 1, "h": 60}[unit]
        for other in (minutes // 2, minutes * 2):
            yield re.sub(rf"(?<=[\[ ]){amount}{unit}\b", f"{other}m", text)


def mutated_matchers(text: str) -> Iterator[str]:
    for found in MATCHER.finditer(text):
        values = found[3].split("|")
        fewer = [[v for v in values if v != dropped] for dropped in values] if len(values) > 1 else []
        kept = ["", *(f',{found[1]}{found[2]}"{"|".join(some)}"' for some in fewer)]
        yield from (text[: found.start()] + other + text[found.end() :] for other in kept)


def mutated_operands(text: str) -> Iterator[str]:
    """Drop the left or the right operand of an `and`, `or` or `unless`, within its parentheses."""
    depths = [text[:at].count("(") - text[:at].count(")") for at in range(len(text) + 1)]
    joints = [found.span() for found in JOINT.finditer(text)]
    for begin, end in joints:
        depth = depths[begin]
        start = next((at for at in range(begin, -1, -1) if depths[at] < depth), -1) + 1
        stop = next((at - 1 for at in range(end, len(text) + 1) if depths[at] < depth), len(text))
        yield text[:start] + text[end:]
        yield text[:begin] + text[stop:]


def mutants(rule: Rule) -> Iterator[Rule]:
    for way in (mutated_numbers, mutated_windows, mutated_matchers, mutated_operands):
        yield from ({**rule, "expr": text} for text in way(rule["expr"]))
    if "for" in rule:
        yield from ({**rule, "for": text.strip()} for text in mutated_windows(" " + rule["for"]))


def concerned(rule: Rule, rules: list[Rule]) -> tuple[list[Rule], list[dict[str, Any]]]:
    """The rules needed to test this one, and their tests, the shortest first."""
    alerts = [r for r in rules if "alert" in r and (r is rule or rule.get("record", " ") in r["expr"])]
    alerts = [r for r in rules if r.get("alert") in {found["alert"] for found in alerts}]
    records = [r for r in rules if "record" in r and any(r["record"] in alert["expr"] for alert in alerts)]
    names = {alert["alert"] for alert in alerts}
    tests = []
    for test in TESTS:
        fires = [case for case in test.get("alert_rule_test", ()) if case["alertname"] in names]
        values = [
            c for c in test.get("promql_expr_test", ()) if any(r["record"] in c["expr"] for r in records)
        ]
        if fires or values:
            tests.append({**test, "alert_rule_test": fires, "promql_expr_test": values})
    return [*records, *alerts], sorted(tests, key=minutes)


def minutes(test: dict[str, Any]) -> int:
    """The simulated length of a test, which determines promtool's running time."""
    cases = [*test["alert_rule_test"], *test["promql_expr_test"]]
    return max(int(case["eval_time"].removesuffix("m")) for case in cases)


def passes(rules: list[Rule], tests: list[dict[str, Any]], folder: Path) -> bool:
    folder.mkdir()
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    for test in tests:
        file = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (folder / "test.yaml").write_text(yaml.safe_dump(file))
        command = ["promtool", "test", "rules", "test.yaml"]
        if subprocess.run(command, cwd=folder, capture_output=True).returncode:
            return False
    return True


def survivors(rules: list[Rule], folder: Path, step: int = 1) -> tuple[list[str], int]:
    """Try every `step`th mutant. Return undetected mutants, failing unchanged rules, and the number tried."""
    tried = []
    for rule in rules:
        beside, tests = concerned(rule, rules)
        if not any("alert" in other for other in beside):
            continue  # a recording rule that only the dashboard uses
        tried += [
            (other, other is rule, [other if r is rule else r for r in beside], tests)
            for other in (rule, *mutants(rule))
        ]

    tried = tried[::step]

    def as_it_should(number: int) -> bool:
        _, whole, beside, tests = tried[number]
        return passes(beside, tests, folder / str(number)) is whole

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        right = list(pool.map(as_it_should, range(len(tried))))
    return [str(other) for (other, *_), fine in zip(tried, right, strict=True) if not fine], len(tried)


@pytest.mark.slow
def test_alert_mutants_are_detected(everything: dict[str, Rendered], tmp_path: Path) -> None:
    groups = everything["cpu-full"].one("PrometheusRule")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    # Without the mutants of the fault rates, which take minutes; `make alert-mutants` tries all.
    short = [rule for rule in rules if "superpixel:faults" not in str(rule)]
    left, tried = survivors(short, tmp_path, step=5)
    assert left == []
    assert tried > 16


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('a > 2 and b{x="y"}[5m] > 0.5', ["a > 2", 'b{x="y"}[5m] > 0.5']),
        ("c > 0 or (a unless b offset 15m)", ["c > 0", "(a unless b offset 15m)", "c > 0 or (a)"]),
    ],
)
def test_mutants_drop_whole_operands(expression: str, expected: list[str]) -> None:
    assert set(expected) <= set(mutated_operands(expression))


if __name__ == "__main__":
    text = (DEPLOY / "components" / "prometheus-rules" / "rules.yaml").read_text()
    with TemporaryDirectory() as folder:
        every = [rule for group in yaml.safe_load(text)["spec"]["groups"] for rule in group["rules"]]
        left, tried = survivors(every, Path(folder))
    sys.exit(
        "\n".join([f"{len(left)} of {tried} mutants or rules have the wrong result", *left]) if left else 0
    )
