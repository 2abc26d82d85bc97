"""The Dockerfile and the locks, without a build. `make image-check` builds the images."""

import fnmatch
import io
import json
import re
import subprocess
import tomllib
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.conftest import DEPLOY, ROOT, TOOLS, Rendered

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
SERVING = [*PROJECT["project"]["dependencies"], *EXTRAS["otel"], *EXTRAS["web"], *EXTRAS["large"]]
LOCKS = {
    "build": [*PROJECT["build-system"]["requires"], *PROJECT["dependency-groups"]["build"]],
    "cpu": SERVING,
    "cuda": [*SERVING, *EXTRAS["cuda12"]],
    "bulk": [*PROJECT["project"]["dependencies"], *EXTRAS["otel"], *EXTRAS["bulk"], EXTRAS["ray"][1]],
}
"""The requirements of each lock, as in `make image-lock`."""
TARGETS = ("cpu", "cuda")
BULK = "bulk"
"""The target without a server."""


class Step(NamedTuple):
    instruction: str
    value: str


class Stage(NamedTuple):
    base: str
    steps: list[Step]

    def all(self, instruction: str) -> list[str]:
        return [step.value for step in self.steps if step.instruction == instruction]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by name, in order."""
    found: dict[str, Stage] = {}
    for line in DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.encode())).structure:
        step = Step(line["instruction"], line["value"])
        if step.instruction == "FROM":
            base, _, name = step.value.partition(" AS ")
            found[name] = Stage(base, [])
        elif found and step.instruction != "COMMENT":
            [*found.values()][-1].steps.append(step)
    return found


def image(target: str) -> Stage:
    """All that makes a target's image, on the base image."""
    known, steps = stages(), []
    name = target
    while name in known:
        steps = [*known[name].steps, *steps]
        name = known[name].base
    return Stage(name, steps)


def environment(stage: Stage) -> dict[str, str]:
    return dict(pair.split("=", 1) for value in stage.all("ENV") for pair in value.split())


def lock(name: str) -> dict[str, tuple[str, int]]:
    """Locked packages: version, and number of hashes."""
    text = (DEPLOY / "image" / f"{name}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([\w.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})*)\s*", line)
        assert match, line
        found[canonicalize_name(match[1])] = match[2], match[3].count("--hash")
    return found


def hadolint(text: str) -> subprocess.CompletedProcess[str]:
    command = [TOOLS / "hadolint", "--no-color", "--failure-threshold", "style", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True)


# ---- the Dockerfile ----------------------------------------------------------------------------------------


def test_hadolint_has_no_findings() -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")
    # The only exception, which the Dockerfile explains.
    assert re.findall(r"hadolint ignore=(.*)", DOCKERFILE) == ["DL3008"]


def test_hadolint_detects_mistakes() -> None:
    done = hadolint(DOCKERFILE.replace("--no-cache-dir ", "").replace("USER 10001:10001", "USER root"))
    assert done.returncode != 0
    assert "DL3042" in done.stdout
    assert "DL3002" in done.stdout


@pytest.mark.parametrize("target", [*TARGETS, BULK])
def test_an_image_adds_one_folder_and_one_user_to_the_base(
    target: str, everything: dict[str, Rendered]
) -> None:
    made = image(target)
    assert made.base == "${BASE}"
    assert made.all("COPY") == [f"--from={target}-packages /opt/superpixel /opt/superpixel"]
    assert not made.all("ADD")
    (accounts,) = made.all("RUN")
    commands = [command.split()[0] for command in re.sub(r"\w+=\S+ ", "", accounts).split("&&")]
    assert commands == ["groupadd", "useradd"]
    (user,) = made.all("USER")
    for rendered in everything.values():
        context = rendered.pod["spec"]["securityContext"]
        assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
        assert context["fsGroup"] == context["runAsGroup"]
    for number in user.split(":"):
        assert f"id {number} " in accounts


def test_the_default_target_is_cpu() -> None:
    assert [*stages()][-1] == "cpu"
    assert set(TARGETS) <= set(stages())


def test_the_wheel_is_built_once() -> None:
    building = {name for name, stage in stages().items() for run in stage.all("RUN") if "pip wheel" in run}
    assert building == {"wheel"}
    for target in (*TARGETS, BULK):
        assert "--from=wheel /wheels /wheels" in stages()[f"{target}-packages"].all("COPY")


def test_packages_are_installed_by_hash() -> None:
    used = set()
    for name, stage in stages().items():
        copied = {PurePosixPath(value.split()[0]).name for value in stage.all("COPY")}
        commands = [part.strip() for run in stage.all("RUN") for part in run.split("&&")]
        for words in (command.split() for command in commands if "pip install" in command):
            assert "--no-cache-dir" in words
            if "/wheels/*.whl" in words:
                assert {"--no-index", "--no-deps"} <= set(words)
                continue
            assert {"--require-hashes", "--only-binary"} <= set(words), (name, words)
            file = PurePosixPath(words[words.index("--requirement") + 1]).name
            assert file in copied
            used.add(file.removesuffix(".txt"))
    assert used == set(LOCKS)


def test_the_build_gets_all_sources_of_the_wheel() -> None:
    copied = [source for value in stages()["wheel"].all("COPY") for source in value.split()[:-1]]
    tool = PROJECT["tool"]["scikit-build"]
    needed = ["pyproject.toml", "CMakeLists.txt", PROJECT["project"]["readme"], *tool["wheel"]["packages"]]
    needed += PROJECT["project"]["license-files"]
    for folders in re.findall(r"install\(DIRECTORY (.*?) DESTINATION", (ROOT / "CMakeLists.txt").read_text()):
        needed += folders.split()
    # Code of others that the native modules link: set(NAME "${CMAKE_CURRENT_SOURCE_DIR}/...").
    cmake = (ROOT / "CMakeLists.txt").read_text()
    needed += re.findall(r'"\$\{CMAKE_CURRENT_SOURCE_DIR\}/([^"]+)"', cmake)
    assert "third_party/zlib" in needed
    assert len(needed) > 8
    for path in map(PurePosixPath, needed):
        assert any(path.is_relative_to(source) for source in copied), path
    # .dockerignore excludes everything else, so it must allow each copied path.
    rules = (ROOT / ".dockerignore").read_text().split()
    assert rules[0] == "*"
    let_through = [rule[1:] for rule in rules if rule.startswith("!")]
    for stage in stages().values():
        for value in stage.all("COPY"):
            for source in () if value.startswith("--from") else value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch.fnmatchcase(source, rule) for rule in let_through), source


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    (labels,) = image("cpu").all("LABEL")
    assert f'org.opencontainers.image.version="{version}"' in labels
    named = yaml.safe_load((DEPLOY / "image" / "kustomization.yaml").read_text())["images"]
    assert [entry["newTag"] for entry in named] == [version, f"{version}-cuda", f"{version}-bulk"]
    assert set(re.findall(r"superpixel-service:([\w.]+)", DOCKERFILE)) == {version}


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_defines_start_health_check_and_stop(target: str) -> None:
    made = image(target)
    assert made.all("STOPSIGNAL") == ["SIGTERM"]
    (check,) = made.all("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    assert command[:2] == ["superpixel", "health"]
    # A shell would be process 1 and would receive the signal instead of the server.
    (entry,) = made.all("ENTRYPOINT")
    assert isinstance(json.loads(entry), list)
    assert environment(made)["PATH"].startswith("/opt/superpixel/bin:")


# ---- GPU ---------------------------------------------------------------------------------------------------


def test_compiled_kernels_are_stored_in_a_writable_folder(everything: dict[str, Rendered]) -> None:
    with_gpu = [r for r in everything.values() if "nvidia.com/gpu" in r.container["resources"]["limits"]]
    assert len(with_gpu) == 2
    for rendered in with_gpu:
        variables: dict[str, Any] = environment(image("cuda"))
        variables |= {variable["name"]: variable["value"] for variable in rendered.container.get("env", ())}
        volumes = {volume["name"]: volume for volume in rendered.pod["spec"]["volumes"]}
        writable = [
            mount["mountPath"]
            for mount in rendered.container["volumeMounts"]
            if not mount.get("readOnly") and "emptyDir" in volumes[mount["name"]]
        ]
        for name in ("CUPY_CACHE_DIR", "CUDA_CACHE_PATH"):
            assert any(PurePosixPath(variables[name]).is_relative_to(folder) for folder in writable), name
        assert {"compute", "utility"} == set(variables["NVIDIA_DRIVER_CAPABILITIES"].split(","))


def test_the_loader_finds_the_driver_of_gke() -> None:
    """GKE's device plugin mounts the driver at this path and does not configure the loader."""
    assert "/usr/local/nvidia/lib64" in environment(image("cuda"))["LD_LIBRARY_PATH"].split(":")
    assert "LD_LIBRARY_PATH" not in environment(image("cpu"))


# ---- locks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_the_projects_requirements(name: str) -> None:
    locked = lock(name)
    for text in LOCKS[name]:
        requirement = Requirement(text)
        assert canonicalize_name(requirement.name) in locked, (
            f"`make image-lock`: {text} is not in {name}.txt"
        )
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"`make image-lock`: {text}, locked is {version}"


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_lock_names_a_registry(name: str) -> None:
    assert all(hashes for _, hashes in lock(name).values())
    text = (DEPLOY / "image" / f"{name}.txt").read_text()
    assert "make image-lock" in text
    assert "://" not in text


def test_the_cuda_image_only_adds_gpu_packages() -> None:
    cpu, cuda = lock("cpu"), lock("cuda")
    assert cpu.items() <= cuda.items()
    more = cuda.keys() - cpu.keys()
    wanted = {canonicalize_name(Requirement(text).name) for text in EXTRAS["cuda12"]}
    assert wanted <= more
    assert all(name.startswith(("cupy-", "cuda-", "nvidia-")) for name in more)
