"""Runs in .venv-deploy: `python helm.py CHART` reads values (JSON), prints what Helm makes of them.

Helm itself does it: helm-python-sdk contains Helm's Go library. It prints one JSON object: `objects` or
`error`, and `lint`, what Helm's linter says.
"""

import json
import sys
from typing import Any

import helm_python
import yaml


def rendered(path: str, values: dict[str, Any], namespace: str, version: str) -> dict[str, Any]:
    messages = helm_python.lint(path, values=values, strict=True, namespace=namespace, kube_version=version)[
        "messages"
    ]
    lint = [each["error"] for each in messages if each["severity"] > 1]
    try:
        with helm_python.Chart.load(path) as chart:
            files = chart.render(values, name="superpixel", namespace=namespace)
    except helm_python.HelmError as error:
        return {"error": str(error), "lint": lint}
    texts = [text for name, text in sorted(files.items()) if not name.endswith(".txt")]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return {"objects": objects, "lint": lint}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(rendered(sys.argv[1], given["values"], given["namespace"], given["version"])))
