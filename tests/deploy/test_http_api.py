"""The HTTP API on a cluster: its pods, its way to the servers, and the same objects by the chart."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from superpixel_service.addresses import split_address
from superpixel_service.api.application import Options, build
from superpixel_service.client import AsyncClient
from superpixel_service.commands import parser
from superpixel_service.commands.http import _check_plaintext
from superpixel_service.commands.image_arguments import target
from tests.deploy.conftest import DEPLOY, HTTP, Rendered
from tests.deploy.test_helm import comparable, helm, objects_of, one
from tests.deploy.test_manifests import NAMESPACE, README, quantity, selects

NAME = "superpixel-http"
MIB = 1 << 20


@pytest.fixture(params=HTTP)
def rendered(request: pytest.FixtureRequest, with_http: dict[str, Rendered]) -> Rendered:
    return with_http[request.param]


def pod_of(rendered: Rendered, name: str = NAME) -> dict[str, Any]:
    pod: dict[str, Any] = rendered.named("Deployment", name)["spec"]["template"]
    return pod


def container_of(rendered: Rendered) -> dict[str, Any]:
    (container,) = pod_of(rendered)["spec"]["containers"]
    return container


def arguments_of(container: dict[str, Any]) -> argparse.Namespace:
    """The command's arguments, as the command line reads them."""
    assert container["command"] == ["superpixel", "http"]
    return parser.parser().parse_args(["http", *container["args"]])


@pytest.fixture
def arguments(rendered: Rendered) -> argparse.Namespace:
    return arguments_of(container_of(rendered))


def test_the_pod_has_the_rights_of_a_server(rendered: Rendered) -> None:
    ours, servers = (pod_of(rendered, name)["spec"] for name in (NAME, "superpixel"))
    for part in (
        "securityContext",
        "serviceAccountName",
        "automountServiceAccountToken",
        "enableServiceLinks",
    ):
        assert ours[part] == servers[part], part
    (container,), (server,) = ours["containers"], servers["containers"]
    assert container["securityContext"] == server["securityContext"]
    assert container["image"] == server["image"]
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


def test_the_command_accepts_the_arguments(rendered: Rendered, arguments: argparse.Namespace) -> None:
    """The command line parses them, and they keep the rules for plaintext and tokens."""
    _check_plaintext(
        arguments.listen,
        arguments.tls_cert_file,
        arguments.tls_key_file,
        arguments.tls_client_ca_file,
        arguments.accept_tokens,
        target(parser.parser(), dict(vars(arguments))),
        arguments.allow_plaintext,
    )
    secured = rendered.name.startswith("mtls")
    assert arguments.allow_plaintext is not secured
    files = {
        str(value)
        for value in vars(arguments).values()
        if isinstance(value, Path) and str(value).startswith("/etc/superpixel")
    }
    volumes = {volume["name"]: volume for volume in pod_of(rendered)["spec"]["volumes"]}
    mounted = {
        f"{mount['mountPath']}/{item['path']}"
        for mount in container_of(rendered)["volumeMounts"]
        for item in volumes[mount["name"]].get("secret", {}).get("items", ())
    }
    assert files == mounted
    assert bool(mounted) is secured


def test_ports_and_probes_are_those_of_the_api(rendered: Rendered, arguments: argparse.Namespace) -> None:
    container = container_of(rendered)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "http": split_address(arguments.listen)[1],
        "metrics": split_address(arguments.metrics_listen)[1],
    }
    scheme = "HTTP" if arguments.allow_plaintext else "HTTPS"
    paths = {route.path for route in application().routes}  # type: ignore[attr-defined]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        assert get["path"] in paths
        assert (get["port"], get.get("scheme", "HTTP")) == ("http", scheme)
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    service = rendered.named("Service", NAME)["spec"]
    (port,) = service["ports"]
    assert (ports[port["targetPort"]], port["port"]) == (ports["http"], ports["http"])
    assert port["appProtocol"] == scheme.lower()
    # A map is kept by the pod that made it.
    assert service["sessionAffinity"] == "ClientIP"
    for monitor in rendered.all("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] == "metrics"


def application() -> Starlette:
    return build(lambda: AsyncClient("127.0.0.1:1"), Options())


def test_the_api_calls_the_servers_by_their_service(
    rendered: Rendered, arguments: argparse.Namespace
) -> None:
    service = rendered.named("Service", "superpixel")
    (port,) = service["spec"]["ports"]
    assert arguments.server == f"{service['metadata']['name']}.{NAMESPACE}:{port['port']}"
    ours = rendered.named("Service", NAME)["metadata"]["name"]
    # The names by which a pod of the cluster can call it.
    assert {ours, f"{ours}.{NAMESPACE}", f"{ours}.{NAMESPACE}.svc"} <= set(arguments.allow_host)


def test_selectors_keep_the_two_kinds_of_pods_apart(rendered: Rendered) -> None:
    for own, other in ((NAME, "superpixel"), ("superpixel", NAME)):
        labels, others = (pod_of(rendered, name)["metadata"]["labels"] for name in (own, other))
        selectors = [rendered.named("Deployment", own)["spec"]["selector"]]
        selectors += [{"matchLabels": rendered.named("Service", own)["spec"]["selector"]}]
        selectors += [rendered.named("NetworkPolicy", own)["spec"]["podSelector"]]
        selectors += [rendered.named("PodDisruptionBudget", own)["spec"]["selector"]]
        selectors += [
            each["spec"]["selector"] for each in rendered.all("PodMonitor") if each["metadata"]["name"] == own
        ]
        for selector in selectors:
            assert selects(selector, labels)
            assert not selects(selector, others)
    scaler = rendered.named("HorizontalPodAutoscaler", NAME)["spec"]
    assert scaler["scaleTargetRef"]["name"] == NAME
    assert "replicas" not in rendered.named("Deployment", NAME)["spec"]
    budget = rendered.named("PodDisruptionBudget", NAME)["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"]


def test_the_network_policies_let_the_api_reach_the_servers_and_nothing_else(rendered: Rendered) -> None:
    labels = pod_of(rendered)["metadata"]["labels"]
    calls, _ = rendered.named("NetworkPolicy", "superpixel")["spec"]["ingress"]
    assert any(
        selects(peer["podSelector"], labels) for peer in calls["from"] if "namespaceSelector" not in peer
    )
    policy = rendered.named("NetworkPolicy", NAME)["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    servers, names = policy["egress"]
    (peer,) = servers["to"]
    assert selects(peer["podSelector"], pod_of(rendered, "superpixel")["metadata"]["labels"])
    assert servers["ports"] == [{"port": "grpc"}]
    assert {port["port"] for port in names["ports"]} == {53}
    # The callers of the API are those of the servers, and Prometheus is the same.
    both = rendered.named("NetworkPolicy", "superpixel")["spec"]["ingress"]
    assert [rule["from"] for rule in policy["ingress"]] == [rule["from"] for rule in both]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": "http"}], [{"port": "metrics"}]]


def test_a_pod_has_time_to_drain(rendered: Rendered) -> None:
    pause = container_of(rendered)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod_of(rendered)["spec"]["terminationGracePeriodSeconds"] >= pause + 10


def test_the_memory_limit_covers_the_limits_of_the_api(
    rendered: Rendered, arguments: argparse.Namespace
) -> None:
    """The sum of deploy/README.md, "Sizes"."""
    settings = rendered.config_map("superpixel-settings")
    image = int(settings["SUPERPIXEL_MAX_IMAGE_BYTES"])
    need = 128 * MIB + 4 * 8 * image + arguments.keep_bytes + 2 * 400 * MIB + arguments.calls * 16 * MIB
    resources = container_of(rendered)["resources"]
    limit = quantity(resources["limits"]["memory"])
    assert need <= limit <= 1.5 * need
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


VALUES = {
    "cpu-http": {"plaintext": True, "podMonitor": {"enabled": True}},
    "mtls-http": {"tls": {"enabled": True}},
}


@pytest.mark.parametrize("name", ["cpu-http", pytest.param("mtls-http", marks=pytest.mark.slow)])
def test_the_chart_makes_the_objects_of_the_components(with_http: dict[str, Rendered], name: str) -> None:
    values = VALUES[name] | {"namespace": {"create": True}, "httpApi": {"enabled": True}}
    answer = helm(values)
    assert not answer["lint"]
    made, expected = comparable(answer["objects"]), comparable(with_http[name].documents)
    assert set(made) == set(expected)
    for key, document in expected.items():
        assert made[key] == document, key


@pytest.mark.slow
def test_options_of_the_chart() -> None:
    options = {
        "enabled": True,
        "arguments": ["--cors-origin=https://labels.example", "--keep-bytes=0"],
        "autoscaling": {"enabled": False},
        "replicas": 3,
        "nodeSelector": {"pool": "cpu"},
    }
    values = {"httpApi": options, "gpu": {"enabled": True}, "nameOverride": "other"}
    objects = objects_of(values)
    deployment = one(objects, "Deployment", "other-http")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    parsed = arguments_of(container)
    assert (parsed.cors_origin, parsed.keep_bytes) == (["https://labels.example"], 0)
    assert parsed.server == "other.superpixel:50051"
    assert deployment["spec"]["replicas"] == 3
    assert pod["nodeSelector"] == {"pool": "cpu"}
    # The API runs without a GPU.
    assert not container["image"].endswith("-cuda")
    assert "error" in helm({"plaintext": True, "httpApi": {"enabled": True, "arguments": ["keep"]}})
    assert not [each for each in objects_of({}) if each["metadata"]["name"].endswith("-http")]


def test_the_documents_name_the_components() -> None:
    for component in ("http-api", "http-api-mtls", "http-api-podmonitor"):
        assert (DEPLOY / "components" / component).is_dir()
        assert f"`{component}`" in README
