"""Runs in .venv-deploy: `python schemas.py KUBERNETES_VERSION FILE...` prints what is invalid in the objects.

Kubernetes' own kinds are checked by its JSON schemas, with unknown fields forbidden (kubernetes-validate).
A RayJob is checked by its CRD's schema (rayjob.schema.json), its pods as pods.
The Prometheus operator's kinds are checked by models generated from its CRDs (cloudcoil). These drop unknown
fields, so the result is compared with the input.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

OPERATOR = "monitoring.coreos.com/v1"
RAY = "ray.io/v1"
RAY_JOB = json.loads(Path(__file__).with_name("rayjob.schema.json").read_text())


def pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a RayJob, as objects of their own."""
    cluster = document["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [{"apiVersion": "v1", "kind": "Pod", **group["template"]} for group in groups]


def unknown(given: Any, kept: Any, path: str) -> list[str]:
    """The paths of the fields in `given` that are missing in `kept`."""
    if isinstance(given, dict):
        found = []
        for name, value in given.items():
            place = f"{path}.{name}"
            found += unknown(value, kept[name], place) if name in kept else [f"{place}: no such field"]
        return found
    if isinstance(given, list):
        pairs = enumerate(zip(given, kept, strict=True))
        return [line for i, (a, b) in pairs for line in unknown(a, b, f"{path}[{i}]")]
    return []


def problems(document: dict[str, Any], version: str) -> list[str]:
    if document["apiVersion"] == OPERATOR:
        from cloudcoil.models.prometheus_operator import v1 as prometheus_operator  # two seconds

        try:
            model = getattr(prometheus_operator, document["kind"]).model_validate(document)
        except ValueError as error:
            return [str(error)]
        return unknown(document, model.model_dump(mode="json", by_alias=True, exclude_unset=True), "")
    if document["apiVersion"] == RAY:
        found = [error.message for error in jsonschema.Draft202012Validator(RAY_JOB).iter_errors(document)]
        return found or [line for pod in pod_templates(document) for line in problems(pod, version)]
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [str(error.message)]
    return []


def main() -> None:
    version, *files = sys.argv[1:]
    count, seen = 0, set()
    for file in files:
        for document in yaml.safe_load_all(Path(file).read_text()):
            count += 1
            text = json.dumps(document)
            if text in seen:  # most objects are in several overlays
                continue
            seen.add(text)
            for line in problems(document, version):
                print(f"{Path(file).stem}: {document['kind']} {document['metadata']['name']}: {line}")
    print(f"{count} objects")


if __name__ == "__main__":
    main()
