"""The manifests for data sets: an indexed Job and a RayJob, without a cluster."""

import copy
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from superpixel_service.cli import main
from superpixel_service.commands.bulk_arguments import data_set_options
from superpixel_service.commands.parser import parser
from tests.deploy.conftest import DEPLOY, ROOT, TOOLS, Rendered, invalid_fields, render
from tests.deploy.test_image import lock
from tests.deploy.test_manifests import EXPLAINED, KUBERNETES, quantity

OVERLAYS = ("bulk-job", "bulk-rayjob")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    folder = tmp_path_factory.mktemp("rendered")
    return {name: render(DEPLOY / "overlays" / name, folder) for name in OVERLAYS}


def pods(job: Rendered) -> list[dict[str, Any]]:
    """Every pod's specification."""
    if job.name == "bulk-job":
        return [job.one("Job")["spec"]["template"]["spec"]]
    cluster = job.one("RayJob")["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize("version", [pytest.param(KUBERNETES[0], marks=pytest.mark.slow), KUBERNETES[-1]])
def test_every_object_is_valid_without_unknown_fields(jobs: dict[str, Rendered], version: str) -> None:
    assert invalid_fields(version, *(job.file for job in jobs.values())) == ["8 objects"]


def test_the_schemas_detect_mistakes(jobs: dict[str, Rendered], tmp_path: Path) -> None:
    whole = jobs["bulk-rayjob"].one("RayJob")
    wrong = [copy.deepcopy(whole) for _ in range(4)]
    wrong[0]["spec"]["entryPoint"] = "x"
    wrong[1]["spec"]["backoffLimit"] = "three"
    wrong[2]["spec"]["rayClusterSpec"]["headGroupSpec"].pop("template")
    worker = wrong[3]["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    worker["template"]["spec"]["containers"][0]["volumeMount"] = []
    for number, document in enumerate(wrong):
        document["metadata"]["name"] = f"wrong-{number}"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump_all(wrong))
    *lines, count = invalid_fields(KUBERNETES[-1], tmp_path / "wrong.yaml")
    assert count == "4 objects"
    assert [re.findall(r"wrong-\d", line)[0][-1] for line in lines] == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_checkov_has_only_the_explained_findings(jobs: dict[str, Rendered]) -> None:
    options = ("--framework", "kubernetes", "--output", "json", "--skip-download", "--soft-fail")
    done = subprocess.run(
        [TOOLS / "checkov", "-f", jobs["bulk-job"].file, *options], check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    failed = {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]}
    # A job serves no requests, so it has no probes.
    assert not {each for each in failed if each[0] not in {"CKV_K8S_8", "CKV_K8S_9"}}
    assert {check["check_id"] for check in report["results"]["skipped_checks"]} == EXPLAINED


def test_every_pod_is_restricted_and_has_room_for_a_tar_file(jobs: dict[str, Rendered]) -> None:
    for job in jobs.values():
        assert job.one("ServiceAccount")["automountServiceAccountToken"] is False
        namespace = job.one("Namespace")["metadata"]
        assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        for document in job.documents:
            assert document["metadata"].get("namespace", namespace["name"]) == namespace["name"]
        for pod in pods(job):
            (container,) = pod["containers"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] == 10001
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert pod["serviceAccountName"] == job.one("ServiceAccount")["metadata"]["name"]
            (tmp,) = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "tmp"]
            limits = container["resources"]["limits"]
            assert quantity("2Gi") < quantity(tmp["sizeLimit"]) <= quantity(limits["ephemeral-storage"])
            assert container["image"] == "superpixel-service:0.1.0-bulk"


def test_the_command_accepts_the_arguments(jobs: dict[str, Rendered]) -> None:
    job = jobs["bulk-job"].one("Job")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"] == ["superpixel"]
    (shard,) = [each for each in container["args"] if each.startswith("--shard=")]
    assert shard == f"--shard=$(SHARD)/{job['completions']}"
    (variable,) = container["env"]
    assert variable["name"] == "SHARD"
    assert "job-completion-index" in variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert job["completions"] >= job["parallelism"]
    last = job["completions"] - 1
    given = vars(parser().parse_args([each.replace("$(SHARD)", str(last)) for each in container["args"]]))
    assert data_set_options(parser(), given).shard == (last, job["completions"])
    words = shlex.split(jobs["bulk-rayjob"].one("RayJob")["spec"]["entrypoint"])
    assert words[0] == "superpixel"
    given = vars(parser().parse_args(words[1:]))
    options = data_set_options(parser(), given)
    assert (options.engine, options.ray_address, options.shards) == ("ray", "auto", True)
    # Wrong arguments end the whole job: this is their exit status.
    (rule,) = [each for each in job["podFailurePolicy"]["rules"] if each["action"] == "FailJob"]
    with pytest.raises(SystemExit) as ended:
        main(["bulk"])
    assert rule["onExitCodes"]["values"] == [ended.value.code]


def test_the_cluster_has_the_version_of_the_lock(jobs: dict[str, Rendered]) -> None:
    cluster = jobs["bulk-rayjob"].one("RayJob")["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == lock("bulk")["ray"][0]
    head, *workers = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group in (head, *workers):
        (shm,) = [each for each in group["template"]["spec"]["volumes"] if each["name"] == "shm"]
        store = int(group["rayStartParams"]["object-store-memory"])
        # Ray falls back to slow files if the object store does not fit.
        assert store < quantity(shm["emptyDir"]["sizeLimit"])


def test_the_readme_names_the_overlays() -> None:
    text = (DEPLOY / "README.md").read_text()
    for name in OVERLAYS:
        assert re.search(rf"`{name}`", text)
    assert (ROOT / "docs" / "data-sets.md").exists()
