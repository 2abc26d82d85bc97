"""The manifests: valid objects, correct references between them and to the code, and consistent sizes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks.load.simulate import BURST, MEASURED

from superpixel_service import config, config_sources
from superpixel_service.budgets import default_budgets, most_workers, needed_bytes
from superpixel_service.client.wire import channel_options, service_config
from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.deploy.conftest import (
    DEPLOY,
    FULL,
    OVERLAYS,
    ROOT,
    TOOLS,
    Rendered,
    invalid_fields,
    kustomize,
    with_full_overlays,
)

NAMESPACE = "superpixel"
README = (DEPLOY / "README.md").read_text()
KUBERNETES = ("1.30", "1.37")
"""The oldest version with every feature that the manifests use, and the newest with schemas."""
EXPLAINED = {"CKV_K8S_43", "CKV_K8S_15"}  # in annotations of deployment.yaml
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30, "m": 1e-3, "M": 1e6, "": 1}


def quantity(text: str | int) -> float:
    match = re.fullmatch(r"(\d+)(\D*)", str(text))
    assert match, text
    return int(match[1]) * UNITS[match[2]]


def entrypoint_flags() -> dict[str, str]:
    """The settings in the image's entry point."""
    text = (ROOT / "Dockerfile").read_text()
    words = json.loads(re.findall(r"^ENTRYPOINT (\[.*?\])", text.replace("\\\n", ""), re.MULTILINE)[0])
    assert words[:2] == ["superpixel", "serve"]
    flags = words[2:]
    return {name[2:].replace("-", "_"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}


@pytest.fixture
def settings(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> config.Settings:
    """The settings of a server in this overlay, validated as at its start."""
    return loaded(rendered, monkeypatch)


def loaded(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> config.Settings:
    for name, value in rendered.config_map("superpixel-settings").items():
        monkeypatch.setenv(name, value)
    return config_sources.load(entrypoint_flags()).settings


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) == {"matchLabels"}
    return selector["matchLabels"].items() <= labels.items()


# ---- validity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version", [*(pytest.param(one, marks=pytest.mark.slow) for one in KUBERNETES[:-1]), KUBERNETES[-1]]
)
def test_every_object_is_valid_without_unknown_fields(
    everything: dict[str, Rendered], with_http: dict[str, Rendered], version: str
) -> None:
    overlays = [*everything.values(), *with_http.values()]
    objects = sum(len(rendered.documents) for rendered in overlays)
    assert invalid_fields(version, *(rendered.file for rendered in overlays)) == [f"{objects} objects"]


@pytest.mark.slow
def test_the_schemas_detect_mistakes(everything: dict[str, Rendered], tmp_path: Path) -> None:
    wrong = []
    for kind, key, value in (
        ("Deployment", "replica", 3),
        ("HorizontalPodAutoscaler", "minReplicas", "two"),
        ("PodMonitor", "podMetricEndpoints", []),
        ("PodMonitor", "selector", None),
    ):
        document = json.loads(json.dumps(everything["cpu-full"].one(kind)))
        document["spec"][key] = value
        wrong.append(document)
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump_all(wrong))
    lines = "\n".join(invalid_fields(KUBERNETES[-1], file))
    for document in wrong:
        assert f"wrong: {document['kind']} " in lines
    assert ".spec.podMetricEndpoints: no such field" in lines


@pytest.mark.slow
def test_checkov_has_only_the_explained_findings(
    everything: dict[str, Rendered], with_http: dict[str, Rendered]
) -> None:
    files = [str(rendered.file) for rendered in (everything | with_http).values()]
    options = ("--framework", "kubernetes", "--output", "json", "--skip-download", "--soft-fail")
    done = subprocess.run(
        [TOOLS / "checkov", "-f", *files, *options], check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    failed = {(c["check_id"], c["resource"], c["file_path"]) for c in report["results"]["failed_checks"]}
    assert not failed
    assert report["summary"]["passed"] > 60 * len(files)
    assert {check["check_id"] for check in report["results"]["skipped_checks"]} == EXPLAINED
    assert report["summary"]["parsing_errors"] == 0


def test_the_pod_is_restricted_and_has_no_token(rendered: Rendered) -> None:
    pod, container = rendered.pod["spec"], rendered.container
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    labels = rendered.one("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


# ---- references --------------------------------------------------------------------------------------------


def test_every_config_key_is_a_setting(rendered: Rendered) -> None:
    known = {config.ENVIRONMENT_PREFIX + name.upper() for name in config.Settings.model_fields}
    assert set(rendered.config_map("superpixel-settings")) <= known


def test_the_server_accepts_the_settings(rendered: Rendered, settings: config.Settings) -> None:
    secured = "mtls" in rendered.name
    assert settings.allow_plaintext is not secured
    assert (settings.tls_client_ca_file is not None) is secured
    assert (settings.token_file is not None) is secured
    assert (settings.backend == "cuda") is ("nvidia" in rendered.name)


def test_the_base_alone_sets_neither_tls_nor_plaintext(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = list(yaml.safe_load_all(kustomize(DEPLOY / "base")))
    with pytest.raises(config_sources.WrongSettings) as refused:
        loaded(Rendered("base", tmp_path, documents), monkeypatch)
    assert "would be plaintext on a network" in refused.value.lines[0]


def test_ports_match_the_servers_ports(rendered: Rendered, settings: config.Settings) -> None:
    listens = {
        "grpc": config.split_address(settings.listen)[1],
        "health": config.split_address(settings.health_listen)[1],
        "metrics": config.split_address(settings.metrics_listen)[1],
    }
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    assert ports == listens
    exposed = re.search(r"^EXPOSE (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert exposed is not None
    assert {int(port) for port in exposed[1].split()} == set(ports.values())
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert rendered.container[probe]["grpc"]["port"] == listens["health"]
        assert rendered.container[probe]["grpc"].get("service", "") in ("", SERVICE)
    # Readiness and callers use the same health service name.
    assert rendered.container["readinessProbe"]["grpc"]["service"] == SERVICE
    (port,) = rendered.one("Service")["spec"]["ports"]
    assert (ports[port["targetPort"]], port["port"]) == (listens["grpc"], listens["grpc"])
    calls, scrapes = rendered.one("NetworkPolicy")["spec"]["ingress"]
    assert [ports[port["port"]] for port in calls["ports"]] == [listens["grpc"]]
    assert [ports[port["port"]] for port in scrapes["ports"]] == [listens["metrics"]]
    for monitor in rendered.all("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert ports[endpoint["port"]] == listens["metrics"]
    check = re.search(r"^HEALTHCHECK .*CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert check is not None
    assert f":{listens['health']}" in check[1]


def test_selectors_match_the_pods_and_not_the_callers(rendered: Rendered) -> None:
    labels = rendered.pod["metadata"]["labels"]
    spec = rendered.one("NetworkPolicy")["spec"]
    selectors = [rendered.one("Deployment")["spec"]["selector"], spec["podSelector"]]
    selectors += [{"matchLabels": rendered.one("Service")["spec"]["selector"]}]
    selectors += [
        found["spec"]["selector"] for k in ("PodDisruptionBudget", "PodMonitor") for found in rendered.all(k)
    ]
    selectors += [spread["labelSelector"] for spread in rendered.pod["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert selector["matchLabels"], "selects every pod of the namespace"
        assert selects(selector, labels)
    # A backend's pod has the client label and another name.
    for caller in spec["ingress"][0]["from"]:
        assert selects(
            caller["podSelector"], {"superpixel-client": "true", "app.kubernetes.io/name": "backend"}
        )
        assert not selects(caller["podSelector"], labels)
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert "egress" not in spec


def test_the_network_policy_allows_only_callers_and_prometheus(rendered: Rendered) -> None:
    spec = rendered.one("NetworkPolicy")["spec"]

    def allowed(pod: dict[str, str], namespace: dict[str, str], *, own: bool = False) -> set[str]:
        """Ports that such a pod may reach; `own`: the pod is in the policy's namespace."""
        found = set()
        for rule in spec["ingress"]:
            for peer in rule["from"]:
                there = selects(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else own
                if there and ("podSelector" not in peer or selects(peer["podSelector"], pod)):
                    found |= {port["port"] for port in rule["ports"]}
        return found

    caller, other = {"superpixel-client": "true"}, {"app": "other"}
    # Kubernetes labels each namespace with its name.
    here, shop, monitoring = (
        {"kubernetes.io/metadata.name": name} for name in (NAMESPACE, "shop", "monitoring")
    )
    assert '`superpixel-client: "true"`' in README
    assert allowed(caller, here, own=True) == {"grpc"}
    assert allowed(caller, shop | caller) == {"grpc"}
    assert allowed(other, monitoring) == {"metrics"}
    for pod, namespace in ((other, shop | caller), (caller, shop), (other, shop)):
        assert not allowed(pod, namespace)
    assert not allowed(other, here, own=True)


def test_the_service_is_headless(rendered: Rendered) -> None:
    """With a cluster address, a caller's single connection and all its calls would stay at one pod."""
    assert rendered.one("Service")["spec"]["clusterIP"] == "None"


def test_pods_are_spread_over_nodes_and_zones(rendered: Rendered) -> None:
    spread = rendered.pod["spec"]["topologySpreadConstraints"]
    # Every node has these labels. A key that no node has would spread nothing.
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }


def test_references_between_objects_exist(rendered: Rendered) -> None:
    pod, container = rendered.pod["spec"], rendered.container
    maps = {found["metadata"]["name"] for found in rendered.all("ConfigMap")}
    assert {source["configMapRef"]["name"] for source in container["envFrom"]} <= maps
    assert pod["serviceAccountName"] == rendered.one("ServiceAccount")["metadata"]["name"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    deployment = rendered.one("Deployment")
    for scaler in rendered.all("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["apiVersion"], target["kind"]) == (deployment["apiVersion"], deployment["kind"])
        assert target["name"] == deployment["metadata"]["name"]
    for document in rendered.documents:
        if document["kind"] == "Namespace":
            assert document["metadata"]["name"] == NAMESPACE
        else:
            assert document["metadata"]["namespace"] == NAMESPACE
    assert ("replicas" in deployment["spec"]) is not bool(rendered.all("HorizontalPodAutoscaler"))


def test_files_named_by_settings_are_mounted(rendered: Rendered, settings: config.Settings) -> None:
    pod, container = rendered.pod["spec"], rendered.container
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    files = set()
    for mount in container["volumeMounts"]:
        assert "subPath" not in mount, "Kubernetes never updates a subPath"
        for item in volumes[mount["name"]].get("secret", {}).get("items", ()):
            files.add(Path(mount["mountPath"]) / item["path"])
    named = {value for name, value in settings if name.endswith("_file") and value is not None}
    assert named == files
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]
    for variable in container.get("env", ()):
        assert variable["value"].startswith("/tmp/")


def test_the_service_config_equals_the_packages(rendered: Rendered) -> None:
    ours = rendered.config_map("superpixel-client")["service_config.json"]
    source = ROOT / "service" / "superpixel_service" / "client" / "service_config.json"
    assert ours == source.read_text()
    shipped = json.loads(ours)
    assert shipped["healthCheckConfig"]["serviceName"] == SERVICE
    methods = pb.DESCRIPTOR.services_by_name[SERVICE.rpartition(".")[2]].methods_by_name
    for entry in shipped["methodConfig"]:
        for name in entry["name"]:
            assert name["service"] == SERVICE
            assert name["method"] in methods
    assert json.loads(service_config())["healthCheckConfig"] == shipped["healthCheckConfig"]


def test_the_scraped_job_is_the_one_in_rules_and_dashboard(everything: dict[str, Rendered]) -> None:
    rendered = everything["cpu-full"]
    monitor = rendered.one("PodMonitor")["spec"]
    job = rendered.pod["metadata"]["labels"][monitor["jobLabel"]]
    board = rendered.config_map("superpixel-dashboard")["superpixel.json"].replace('\\"', '"')
    for text in (json.dumps(rendered.one("PrometheusRule")["spec"]).replace('\\"', '"'), board):
        assert set(re.findall(r'\bjob=~?"([^"]*)"', text)) == {job}


def test_the_adapter_finds_the_pod_of_a_series(everything: dict[str, Rendered]) -> None:
    text = everything["cpu-full"].config_map("superpixel-adapter-rules")["rules.yaml"]
    (rule,) = yaml.safe_load(text)["rules"]
    overrides = rule["resources"]["overrides"]
    # Maps the labels that the operator sets on a scraped pod to Kubernetes' resource names.
    assert overrides == {name: {"resource": name} for name in ("namespace", "pod")}
    assert set(re.findall(r"(\w+)!=", rule["seriesQuery"])) == set(overrides)


# ---- sizes -------------------------------------------------------------------------------------------------


def test_a_pod_has_time_to_drain(rendered: Rendered, settings: config.Settings) -> None:
    pause = rendered.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert rendered.pod["spec"]["terminationGracePeriodSeconds"] >= pause + settings.grace_seconds + 5
    # A client that looks up the name again during the pause no longer finds the pod.
    assert 1000 * pause > dict(channel_options())["grpc.dns_min_time_between_resolutions_ms"]


def test_a_pod_has_time_to_start(everything: dict[str, Rendered]) -> None:
    """Several times the time that `make load` measured; longer with a GPU, which compiles kernels first."""
    measured = json.loads(MEASURED.read_text())["server"]["ready_seconds"]

    def patience(name: str) -> float:
        probe = everything[name].container["startupProbe"]
        return float(probe["periodSeconds"] * probe["failureThreshold"])

    assert min(patience(name) for name in everything) > 5 * measured
    assert patience("nvidia") > patience("cpu")


def test_the_autoscaler_covers_the_burst_and_evictions_leave_pods(everything: dict[str, Rendered]) -> None:
    for rendered in everything.values():
        for scaler in rendered.all("HorizontalPodAutoscaler"):
            least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
            assert f"| {least} to {most} pods of " in README
            assert most >= BURST * least  # the burst that docs/capacity.md simulates
            (budget,) = rendered.all("PodDisruptionBudget")
            away = budget["spec"]["maxUnavailable"]
            assert isinstance(away, int)  # a percentage of few pods may be all of them
            assert 1 <= away < least


def test_the_memory_limit_covers_all_limits_of_the_server(
    rendered: Rendered, settings: config.Settings
) -> None:
    explicit = rendered.config_map("superpixel-settings")
    for name in ("MAX_INFLIGHT_MEMORY_BYTES", "MAX_UNSENT_BYTES", "MAX_INFLIGHT_BYTES", "CACHE_BYTES"):
        # Otherwise the value would depend on the machine that runs this test.
        assert f"SUPERPIXEL_{name}" in explicit
    threads = settings.max_inflight_calls + settings.max_streams + 16
    need = needed_bytes(
        workers=settings.lane_workers,
        images=settings.max_inflight_memory_bytes,
        messages=settings.max_inflight_bytes,
        unsent=settings.max_unsent_bytes,
        calls=settings.max_inflight_calls,
        cache=settings.cache_bytes,
        arriving=threads * (settings.max_image_bytes + (1 << 20)),
    )
    assert need >= settings.needed_bytes
    resources = rendered.container["resources"]
    limit = quantity(resources["limits"]["memory"])
    assert need <= limit <= 1.5 * need
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_a_pod_with_the_default_budgets_fits_into_its_memory(rendered: Rendered) -> None:
    """What a server would choose for itself in a container of this size."""
    limit = int(quantity(rendered.container["resources"]["limits"]["memory"]))
    budgets = default_budgets(limit, {})
    need = needed_bytes(
        workers=most_workers(2, budgets["max_inflight_memory_bytes"]),
        images=budgets["max_inflight_memory_bytes"],
        messages=budgets["max_inflight_bytes"],
        unsent=budgets["max_unsent_bytes"],
        calls=128,
        cache=budgets["cache_bytes"],
    )
    assert need <= limit


def test_workers_equal_the_requested_cores(rendered: Rendered, settings: config.Settings) -> None:
    resources = rendered.container["resources"]
    assert settings.workers >= 1
    assert settings.workers == settings.threads_per_image
    assert settings.workers <= quantity(resources["limits"]["cpu"])
    assert rendered.name == "dev" or settings.workers == quantity(resources["requests"]["cpu"])


def test_each_gpu_has_one_process(rendered: Rendered, settings: config.Settings) -> None:
    gpus = quantity(rendered.container["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert gpus == (1 if settings.backend == "cuda" else 0)
    assert settings.device == 0
    assert ("-cuda" in rendered.container["image"]) is (gpus == 1)


def test_only_one_file_names_the_images(tmp_path: Path) -> None:
    copy = with_full_overlays(tmp_path)
    file = copy / "image" / "kustomization.yaml"
    named = yaml.safe_load(file.read_text())
    for other in set(DEPLOY.rglob("kustomization.yaml")) - {DEPLOY / "image" / "kustomization.yaml"}:
        assert "images" not in yaml.safe_load(other.read_text()), other
    for image in named["images"]:
        image |= {"newName": "registry.test/team/" + image["newName"], "newTag": image["newTag"] + "-x"}
    file.write_text(yaml.safe_dump(named))
    for name in (*OVERLAYS, *FULL):
        documents = list(yaml.safe_load_all(kustomize(copy / "overlays" / name)))
        image = Rendered(name, tmp_path, documents).container["image"]
        assert re.fullmatch(r"registry\.test/team/superpixel-service:[\d.]+(-cuda)?-x", image)
