"""The overlays as kustomize renders them."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / ".venv-deploy" / "bin"
OVERLAYS = ("cpu", "nvidia", "mtls", "dev")
BESIDE = ("tracing", "cluster-ip", "grpcroute", "external-namespace")
OPTIONAL = ("podmonitor", "prometheus-rules", "queue-autoscaling", "grafana-dashboard")
FULL = {"cpu-full": ("plaintext", *OPTIONAL), "nvidia-mtls-full": ("mtls", "nvidia", *OPTIONAL)}
"""Overlays only for tests: all components that can be combined."""
HTTP = {
    "cpu-http": ("plaintext", "podmonitor", "http-api", "http-api-podmonitor"),
    "mtls-http": ("mtls", "http-api-mtls"),
}
"""Overlays only for tests: those with the HTTP API."""


def kustomize(folder: Path) -> str:
    return subprocess.run(
        [TOOLS / "kubectl", "kustomize", folder], check=True, capture_output=True, text=True
    ).stdout


def with_full_overlays(folder: Path) -> Path:
    """Copy deploy/ to `folder` and add the overlays FULL and HTTP."""
    copy = folder / "deploy"
    shutil.copytree(DEPLOY, copy)
    for name, components in (FULL | HTTP).items():
        paths = [*(f"../../components/{component}" for component in components), "../../image"]
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../../base"],
            "components": paths,
        }
        (copy / "overlays" / name).mkdir()
        (copy / "overlays" / name / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return copy


@dataclass(frozen=True)
class Rendered:
    name: str
    file: Path
    documents: list[dict[str, Any]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (document,) = self.all(kind)
        return document

    def named(self, kind: str, name: str) -> dict[str, Any]:
        (document,) = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        return document

    def config_map(self, prefix: str) -> dict[str, str]:
        (data,) = [m["data"] for m in self.all("ConfigMap") if m["metadata"]["name"].startswith(prefix)]
        return data

    @property
    def pod(self) -> dict[str, Any]:
        return self.one("Deployment")["spec"]["template"]

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["spec"]["containers"]
        return container


def render(overlay: Path, folder: Path) -> Rendered:
    """Render an overlay into a file of `folder`."""
    text = kustomize(overlay)
    file = folder / f"{overlay.name}.yaml"
    file.write_text(text)
    return Rendered(overlay.name, file, list(yaml.safe_load_all(text)))


def invalid_fields(version: str, *files: Path) -> list[str]:
    """What schemas.py prints: a line per mistake, and the number of objects."""
    command = [TOOLS / "python", Path(__file__).with_name("schemas.py"), version, *files]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """All overlays by name, with those of FULL."""
    assert (TOOLS / "kubectl").exists(), "no kubectl: run `make deploy-install`"
    folder = tmp_path_factory.mktemp("rendered")
    copy = with_full_overlays(folder)
    return {name: render(copy / "overlays" / name, folder) for name in (*OVERLAYS, *FULL)}


@pytest.fixture(scope="session")
def with_http(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """The overlays with the HTTP API, by name."""
    folder = tmp_path_factory.mktemp("rendered-http")
    copy = with_full_overlays(folder)
    return {name: render(copy / "overlays" / name, folder) for name in HTTP}


@pytest.fixture(params=[*OVERLAYS, *FULL])
def rendered(request: pytest.FixtureRequest, everything: dict[str, Rendered]) -> Rendered:
    return everything[request.param]


@pytest.fixture(scope="session")
def rules(everything: dict[str, Rendered]) -> dict[str, Any]:
    """The content of a rule file for a plain Prometheus."""
    spec: dict[str, Any] = everything["cpu-full"].one("PrometheusRule")["spec"]
    return spec


@pytest.fixture(scope="session")
def dashboard(everything: dict[str, Rendered]) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(
        everything["cpu-full"].config_map("superpixel-dashboard")["superpixel.json"]
    )
    return board
