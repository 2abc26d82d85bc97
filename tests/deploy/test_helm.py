"""The Helm chart, rendered by Helm itself: its objects are those of the kustomize overlays."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from superpixel_service import __version__
from superpixel_service.config import Settings
from tests.deploy.conftest import (
    BESIDE,
    DEPLOY,
    TOOLS,
    Rendered,
    invalid_fields,
    kustomize,
    render,
    with_full_overlays,
)
from tests.deploy.test_manifests import KUBERNETES

CHART = DEPLOY / "helm" / "superpixel"
RELEASE_LABELS = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
)
GATEWAY = {"grpcRoute": {"enabled": True, "parentRefs": [{"name": "gateway", "namespace": "edge"}]}}
TRACING = {"tracing": {"enabled": True}}


def helm(
    values: dict[str, Any], version: str = KUBERNETES[-1], namespace: str = "superpixel"
) -> dict[str, Any]:
    """What Helm makes of these values: `objects` or `error`."""
    done = subprocess.run(
        [TOOLS / "python", Path(__file__).with_name("helm.py"), CHART],
        input=json.dumps({"values": values, "namespace": namespace, "version": f"v{version}.0"}),
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def objects_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    answer = helm({"plaintext": True} | values)
    assert not answer["lint"]
    objects: list[dict[str, Any]] = answer["objects"]
    return objects


def one(objects: list[dict[str, Any]], kind: str, name: str = "superpixel") -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def comparable(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The objects by kind and name, without what the two tools must write differently."""
    found = {}
    for document in copy.deepcopy(documents):
        metadata = document["metadata"]
        for label in RELEASE_LABELS:
            metadata.get("labels", {}).pop(label, None)
        metadata.pop("annotations", None)  # for checkov
        name = metadata["name"]
        if document["kind"] == "ConfigMap" and name.startswith("superpixel-settings"):
            name = metadata["name"] = "superpixel-settings"  # without kustomize's hash
        if name == "superpixel-client":
            document["data"] = {file: json.loads(text) for file, text in document["data"].items()}
        if document["kind"] == "Deployment":
            template = document["spec"]["template"]
            template["metadata"].pop("annotations", None)  # the settings' checksum
            (container,) = template["spec"]["containers"]
            for source in container.get("envFrom", ()):
                source["configMapRef"]["name"] = "superpixel-settings"
            for part in ("volumeMounts", "ports"):
                container[part].sort(key=lambda each: each["name"])
            template["spec"]["volumes"].sort(key=lambda each: each["name"])
        found[f"{document['kind']}/{name}"] = document
    return found


@pytest.mark.parametrize(
    ("overlay", "values"),
    [
        ("cpu", {"plaintext": True}),
        pytest.param("mtls", {"tls": {"enabled": True}}, marks=pytest.mark.slow),
        pytest.param("nvidia", {"plaintext": True, "gpu": {"enabled": True}}, marks=pytest.mark.slow),
    ],
)
def test_the_objects_are_those_of_the_overlay(
    everything: dict[str, Rendered], overlay: str, values: dict[str, Any]
) -> None:
    answer = helm(values | {"namespace": {"create": True}})
    assert not answer["lint"]
    made, expected = comparable(answer["objects"]), comparable(everything[overlay].documents)
    assert set(made) == set(expected)
    for name, document in expected.items():
        assert made[name] == document, name


def test_every_option_gives_valid_objects(tmp_path: Path) -> None:
    everything = {
        "namespace": {"create": True},
        "podMonitor": {"enabled": True},
        "service": {"clusterIP": True},
        "clientConfig": {"namespaces": ["backend", "jobs"]},
        "image": {"digest": f"sha256:{'a' * 64}", "pullSecrets": [{"name": "registry"}]},
        "nodeSelector": {"pool": "superpixel"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "autoscaling": {"enabled": False},
        **TRACING,
    }
    file = tmp_path / "objects.yaml"
    objects = objects_of(everything)
    file.write_text(yaml.safe_dump_all(objects))
    assert invalid_fields(KUBERNETES[-1], file) == [f"{len(objects)} objects"]
    deployment = one(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"superpixel-service@sha256:{'a' * 64}"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert not [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    configurations = [each for each in objects if each["metadata"]["name"] == "superpixel-client"]
    assert {each["metadata"]["namespace"] for each in configurations} == {"superpixel", "backend", "jobs"}
    assert len({each["data"]["service_config.json"] for each in configurations}) == 1


@pytest.mark.slow
def test_tracing_opens_the_way_to_the_collector() -> None:
    objects = objects_of(TRACING)
    settings = one(objects, "ConfigMap", "superpixel-settings")["data"]
    assert settings["SUPERPIXEL_TRACES"] == "otlp"
    assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.tracing:4317"
    collector, names = one(objects, "NetworkPolicy")["spec"]["egress"]
    assert collector["ports"] == [{"port": 4317}]
    assert {port["port"] for port in names["ports"]} == {53}
    assert "egress" not in one(objects_of({}), "NetworkPolicy")["spec"]


@pytest.mark.slow
def test_a_gateway_reaches_the_service_with_a_cluster_address() -> None:
    objects = objects_of(GATEWAY)
    (rule,) = one(objects, "GRPCRoute")["spec"]["rules"]
    (backend,) = rule["backendRefs"]
    service = one(objects, "Service", backend["name"])
    assert "clusterIP" not in service["spec"]
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["appProtocol"]) == (backend["port"], "kubernetes.io/h2c")
    assert one(objects, "Service")["spec"]["clusterIP"] == "None"
    assert "parentRefs" in helm({"plaintext": True, "grpcRoute": {"enabled": True}})["error"]


@pytest.mark.slow
@pytest.mark.parametrize("resource", ["nvidia.com/mig-1g.18gb", "nvidia.com/gpu.shared"])
def test_a_pod_may_ask_for_a_part_of_a_gpu(resource: str) -> None:
    objects = objects_of({"gpu": {"enabled": True, "resource": resource}})
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    assert {name: count for name, count in limits.items() if name.startswith("nvidia.com")} == {resource: 1}
    assert container["image"] == f"superpixel-service:{__version__}-cuda"


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"plaintext": True, "tls": {"enabled": True}},
        {"plaintext": True, "replica": 3},
        {"plaintext": True, "settings": {"workers": 2}},
        {"plaintext": True, "settings": {"Workers": "2"}},
        {"plaintext": True, "image": {"digest": "latest"}},
        {"plaintext": True, "autoscaling": {"minReplicas": 0}},
    ],
)
def test_wrong_values_are_rejected(values: dict[str, Any]) -> None:
    assert "error" in helm(values)


@pytest.mark.slow
def test_a_second_release_has_names_of_its_own() -> None:
    objects = objects_of({"nameOverride": "other"})
    assert {each["metadata"]["name"].partition("-")[0] for each in objects} == {"other"}
    selector = one(objects, "Deployment", "other")["spec"]["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/name": "other"}


def test_every_setting_exists_and_files_are_the_same() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {*values["settings"], *values["gpu"]["settings"]} <= set(Settings.model_fields)
    base = DEPLOY / "base" / "service_config.json"
    assert (CHART / "service_config.json").read_text() == base.read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The overlay cpu with the components that the chart has as values."""
    folder = tmp_path_factory.mktemp("beside")
    deploy = with_full_overlays(folder)
    overlay = deploy / "overlays" / "beside"
    overlay.mkdir()
    components = [
        "../../components/plaintext",
        *(f"../../components/{name}" for name in BESIDE),
        "../../image",
    ]
    kustomization = {"resources": ["../../base"], "components": components}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(overlay, folder)


def test_the_components_give_what_the_chart_gives(beside: Rendered) -> None:
    parents = [{"name": "gateway", "namespace": "gateway"}]
    values = TRACING | {"grpcRoute": {"enabled": True, "parentRefs": parents}}
    made, expected = comparable(objects_of(values)), comparable(beside.documents)
    assert made == expected
    assert "Namespace/superpixel" not in expected


def test_the_components_are_valid(beside: Rendered, tmp_path: Path) -> None:
    known = [each for each in beside.documents if each["kind"] != "GRPCRoute"]  # no schema here
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(known))
    assert invalid_fields(KUBERNETES[-1], file) == [f"{len(known)} objects"]


def test_callers_namespaces_get_the_same_service_config() -> None:
    folder = DEPLOY / "components" / "client-config"
    (configuration,) = yaml.safe_load_all(kustomize(folder))
    base = (DEPLOY / "base" / "service_config.json").read_text()
    assert configuration["data"] == {"service_config.json": base}
    assert configuration["metadata"]["name"] == "superpixel-client"
