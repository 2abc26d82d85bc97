"""The overlays and commands of deploy/README.md, as far as they work without a cluster."""

import base64
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from superpixel_service.security.tokens import parse_tokens
from tests.deploy.conftest import DEPLOY, TOOLS, Rendered, render, with_full_overlays
from tests.service.certificates import Authority

TEXT = (DEPLOY / "README.md").read_text()
OVERLAY = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def adapted(tmp_path: Path) -> Rendered:
    """The objects of an overlay that has all patches from deploy/README.md."""
    copy = with_full_overlays(tmp_path)
    file = copy / "overlays" / "nvidia-mtls-full" / "kustomization.yaml"
    overlay = yaml.safe_load(file.read_text())
    overlay["components"].insert(-1, "../../components/http-api-mtls")
    for block in OVERLAY.findall(TEXT):
        for field, entries in yaml.safe_load(block).items():
            overlay[field] = [*overlay.get(field, ()), *entries]
    file.write_text(yaml.safe_dump(overlay))
    return render(file.parent, tmp_path)


def deployments_of(rendered: Rendered) -> list[dict[str, Any]]:
    """The Deployments of the servers and of the HTTP API."""
    return [rendered.named("Deployment", name) for name in ("superpixel", "superpixel-http")]


def test_the_patches_of_the_readme_apply(adapted: Rendered) -> None:
    account = adapted.one("ServiceAccount")
    deployment, api = deployments_of(adapted)
    pod = deployment["spec"]["template"]["spec"]
    assert account["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["runtimeClassName"] == "nvidia"
    for kind in ("PodMonitor", "PrometheusRule"):
        assert adapted.one(kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert "--allow-host=labels.example" in api["spec"]["template"]["spec"]["containers"][0]["args"]
    # If the label were in the selector, the Deployment would lose its existing pods.
    assert "release" not in str(deployment["spec"]["selector"])


def test_the_readme_creates_the_secrets_that_mtls_mounts(adapted: Rendered, tmp_path: Path) -> None:
    (block,) = [
        block
        for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
        if "secret" in block
    ]
    pair = (authority := Authority()).issue("superpixel.superpixel")
    for name, data in (("tls.crt", pair.chain), ("tls.key", pair.key), ("ca.crt", authority.pem)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "http").mkdir()
    api = authority.issue("superpixel-http.superpixel")
    (tmp_path / "http" / "tls.crt").write_bytes(api.chain)
    (tmp_path / "http" / "tls.key").write_bytes(api.key)
    path = os.pathsep.join((str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]))
    made = {}
    for line in block.splitlines():
        kubectl = shlex.split(line)[0] == "kubectl"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line + (" --dry-run=client -o yaml" if kubectl else "")],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        if kubectl:
            document = yaml.safe_load(done.stdout)
            made[document["kind"], document["metadata"]["name"]] = document
    deployments = deployments_of(adapted)
    mounted = [
        volume["secret"]
        for deployment in deployments
        for volume in deployment["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    ]
    (namespace,) = {deployment["metadata"]["namespace"] for deployment in deployments}
    assert ("Namespace", namespace) in made
    assert {secret["secretName"] for secret in mounted} == {
        "superpixel-tls",
        "superpixel-tokens",
        "superpixel-http-tls",
    }
    for secret in mounted:
        found = made["Secret", secret["secretName"]]
        assert found["metadata"]["namespace"] == namespace
        assert {item["key"] for item in secret["items"]} == set(found["data"])
    (token,) = parse_tokens(base64.b64decode(made["Secret", "superpixel-tokens"]["data"]["tokens"]))
    assert token.name == "annotation-backend"


def test_the_readme_creates_all_secrets(
    everything: dict[str, Rendered], with_http: dict[str, Rendered]
) -> None:
    commands = re.findall(r"create secret generic (\S+)((?: --from-file=\S+)+)", TEXT)
    # kubectl takes the name of the file as the key.
    made = {
        name: {Path(file).name for file in re.findall(r"--from-file=(\S+)", files)}
        for name, files in commands
    }
    wanted = {
        volume["secret"]["secretName"]: {item["key"] for item in volume["secret"]["items"]}
        for rendered in (everything | with_http).values()
        for deployment in rendered.all("Deployment")
        for volume in deployment["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    assert made == wanted
    assert wanted
