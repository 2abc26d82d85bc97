"""Runs in .venv-deploy: reads expressions as a JSON list, prints the metrics and labels of each as JSON."""

import json
import sys

import promql_parser


def selected(expression: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            matchers = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            found.append({"name": node.name, "matchers": matchers})

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


json.dump([selected(expression) for expression in json.load(sys.stdin)], sys.stdout)
