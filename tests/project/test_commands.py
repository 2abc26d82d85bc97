"""Every shell command that the documents show is run as it stands there, or named here with the reason."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from tests.api.conftest import Api, running_api
from tests.service.harness import RunningServer, running_server

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
API = "127.0.0.1:8081"

# What a document's commands begin with, be they a block or a word in a sentence.
PROGRAMS = "superpixel|make|pip|python|docker|kubectl|helm|npm|node|npx|go|protoc|grpcurl"
BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = re.compile(rf"`((?:{PROGRAMS}) [^`]+)`")

CLUSTER = "needs a cluster"
ENGINE = "needs a container engine"
MEASURES = "measures for minutes; tests/benchmarks runs its parts"
ADAPTERS = "tests/integrations runs the adapter"
README_OF_BACKEND = "tests/examples/test_annotation_backend_readme.py runs it"
NOT_RUN = {
    "pip install .": "test_wheel.py builds and installs what it would",
    "pip install '.[web]'": "would build once more; the tests' environment has what the extra brings",
    "pip install '.[otel]'": "would build once more; the tests' environment has what the extra brings",
    "pip install '.[cuda12]'": "would put CuPy into the tests' environment",
    "npm install ./frontend": "needs a project of npm; tests/frontend uses the package",
    "pip install grpcio-tools googleapis-common-protos": "the tests' environment has both",
    "pip install '.[bulk]'": "would build once more; the tests' environment has what the extra brings",
    "pip install '.[ray]'": "would build once more; the tests' environment has what the extra brings",
    "pip install '.[large,geo]'": "would build once more; the tests' environment has what the extras bring",
    "pip install '.[large,ray]'": "would build once more; the tests' environment has what the extras bring",
    "superpixel large --engine ray": "a part of a command; test_ray_tiles.py runs it",
    "superpixel large SOURCE --out STORE --engine ray": "a part of a command; test_ray_tiles.py runs it",
    "pip install '.[large,cuda12]'": "would put CuPy into the tests' environment",
    "superpixel large --backend cuda --device N": "a part of a command; test_large_backend.py runs it",
    "superpixel large SOURCE --out STORE --backend cuda --device 0": (
        "the names stand for files, and it needs a GPU; test_large_backend.py runs it on a simulated one"
    ),
    "superpixel large": "a part of a command; the page about stores has whole ones",
    "superpixel large export": "a part of a command; the page about stores has a whole one",
    "superpixel large SCENE --out STORE": "the names stand for files; test_large_export.py makes a store",
    "superpixel large export STORE --format gpkg --count 1000 --out FILE": (
        "the names stand for files; test_large_export.py exports a store"
    ),
    "superpixel app --store coffee.zarr": "serves until stopped; tests/page/test_store.py does so too",
    "superpixel app --store STORE": "STORE stands for a store; tests/page/test_store.py serves one",
    "python -m benchmarks.store_page": MEASURES,
    "superpixel serve --stores FOLDER": "FOLDER stands for a folder; tests/service/test_stores.py serves one",
    "superpixel serve --stores . &": "serves until it is stopped; tests/service/test_stores.py does the same",
    "superpixel info --store NAME": "a part of a command; tests/service/test_stores.py asks a server",
    "make bench-data-sets": MEASURES,
    "make bench-wasm": MEASURES,
    "SUPERPIXEL_TEST_DIST=dist .venv/bin/python -m pytest tests/project/test_release.py": (
        "`make test-slow` runs it, with wheels of its own"
    ),
    "superpixel http": "tests/api starts it",
    "make bench-tiled": MEASURES,
    "make bench-store": MEASURES,
    "make static": "a minute; tests/page/test_static.py serves and uses what it writes",
    "make wasm": "a minute, and installs emscripten; `make test-slow` runs it",
    "superpixel app --static DIR": "DIR stands for a folder; tests/page/test_static.py runs it",
    "python -m benchmarks.browser_pixels --photos FOLDER": MEASURES,
    "python -m benchmarks.next_labels": MEASURES,
    ".venv/bin/python -m build --wheel --outdir integrations/cvat": f"test_wheel.py builds it; {ENGINE}",
    "cd integrations/label_studio": ADAPTERS,
    "pip install . ./integrations/napari": ADAPTERS,
    "superpixel app": "tests/page starts it, and works on the page in a browser",
    'superpixel train-smart IMAGES MASKS --out weights.json --about "our street scenes, internal"': (
        "the names stand for folders; test_cli_train_smart.py trains"
    ),
    ".venv-bench/bin/python -m benchmarks.bsds_masks --data bsds500-train --out bsds": MEASURES,
    "superpixel train-smart IMAGES MASKS --out weights.json": (
        "the names stand for folders; test_cli_train_smart.py trains"
    ),
    "superpixel health": "a server at the default address; test_cli.py asks one elsewhere",
    "make bench-install": MEASURES,
    "make load": MEASURES,
    "python -m tests.kernels.fuzz_codec --count 1000000 --seed N": "N stands for a number, and takes hours",
    "python -m tests.frontend.selection_cases --count 1000000 --seed N": "N is a number; it takes hours",
    "python -m tests.kernels.cuda_sim": "a part of a command; test_cuda_compile.py calls what it does",
    "python -m tests.kernels.cupy_sim [ARGUMENTS OF PYTEST]": "downloads CuPy; `make test-slow` runs it",
    "python -m tests.kernels.cupy_sim.host_time": "as above; cupy_sim/test_graphs.py runs it",
    "pip install . -r examples/annotation_backend/requirements.txt": README_OF_BACKEND,
    "curl --fail -o image.json -H 'Content-Type: image/jpeg' --data-binary @examples/photos/chelsea.jpg '127.0.0.1:8000/images?name=chelsea.jpg'": README_OF_BACKEND,  # noqa: E501
    "python -m examples.annotation_backend migrate": README_OF_BACKEND,
    'python -m examples.annotation_backend revision "what changed"': "writes into the sources",
    "kubectl create namespace superpixel": "tests/deploy/test_readme.py runs it without a cluster",
    "kubectl -n superpixel create secret docker-registry": "a part of a command",
    "kubectl apply -k deploy/overlays/cpu": f"{CLUSTER}; tests/deploy renders it",
    "helm install superpixel deploy/helm/superpixel --namespace superpixel --create-namespace --set plaintext=true": (  # noqa: E501
        f"{CLUSTER}; tests/deploy/test_helm.py renders it"
    ),
    "kubectl apply -k deploy/components/client-config": f"{CLUSTER}; tests/deploy renders it",
    "kubectl -n superpixel port-forward deploy/superpixel 50051": CLUSTER,
    "kubectl -n superpixel delete pod NAME": CLUSTER,
    "kubectl -n superpixel get secret superpixel-tls -o jsonpath='{.data.tls\\.crt}' | base64 -d | openssl x509 -noout -enddate": CLUSTER,  # noqa: E501
    "kubectl -n superpixel describe certificate": f"{CLUSTER} with cert-manager",
    "kubectl -n superpixel get pods -o wide": CLUSTER,
    "kubectl -n superpixel describe hpa superpixel": CLUSTER,
    "kubectl -n superpixel get pods,hpa,events": CLUSTER,
    "kubectl -n superpixel logs deploy/superpixel --previous": CLUSTER,
    "kubectl -n superpixel rollout undo deploy/superpixel": CLUSTER,
    "kubectl -n superpixel describe pod NAME": CLUSTER,
    "kubectl -n superpixel logs NAME --previous": CLUSTER,
    "kubectl cordon": f"{CLUSTER}, and a part of a command",
    "kubectl -n superpixel get hpa": CLUSTER,
    'docker build --build-arg REVISION="$(git rev-parse HEAD)" -t superpixel-service:0.1.0 .': (
        f"{ENGINE}; make image-check builds it by buildah"
    ),
    "docker run --read-only --tmpfs /tmp -p 50051:50051 -p 50052:50052 -p 9090:9090 superpixel-service:0.1.0 --allow-plaintext": ENGINE,  # noqa: E501
    "docker run --read-only --tmpfs /tmp -p 50051:50051 -p 50052:50052 -p 9090:9090 -v /etc/superpixel:/etc/superpixel:ro \\": ENGINE,  # noqa: E501
    "docker run --read-only --tmpfs /tmp -p 8081:8081 -p 9465:9465 --no-healthcheck --entrypoint superpixel superpixel-service:0.1.0 \\": ENGINE,  # noqa: E501
    "node bench.js": "measures for minutes",
    "npm install ../superpixel-service/frontend": "tests/frontend/test_package.py runs it",
    "npm ci": "`make frontend-install` runs it; tests/frontend/test_package.py runs the build after it",
    "npm install ../superpixel-service/frontend/dist": "tests/frontend/test_package.py runs it",
    "npm run build": "tests/frontend/test_package.py runs build.js",
    "npm run check": "make lint runs it, as a part of npm run lint",
    "npm run format": "rewrites the sources",
    "superpixel COMMAND --help": "COMMAND stands for any; test_cli.py asks each for help",
    "superpixel segment --server 127.0.0.1:50051": "a part of a command, whole in docs/getting-started.md",
    # The Go program of that page was compiled and run by hand (see tests/README.md).
    "protoc -I protos --go_out=. --go-grpc_out=. \\": "needs Go, above 500 MB",
}
RUNS_ON = ("superpixel serve",)
"""These serve until they are stopped."""

WRITES = {
    "superpixel segment examples/photos/astronaut.jpg": {"pictures/astronaut.jpg.spx": (1600, 400, 100)},
    "superpixel bulk examples/photos": {"label-maps/astronaut.jpg.spx": (5000, 77)},
    "superpixel bulk photos": {"maps/astronaut.jpg.spx": (400,)},
    "superpixel bulk PHOTOS": {"MAPS/astronaut.jpg.spx": (5000, 77)},
    "superpixel segment photo.jpg": {"DIR/photo.jpg.spx": (400, 100)},
    "grpcurl": {"astronaut.spx": (1600, 400, 100)},
    "--output astronaut.spx": {"astronaut.spx": (1600, 400, 100)},
    "node segment.mjs": {"examples/node/astronaut.spx": (1600, 400, 100)},
}
"""Label maps that a command leaves, with counts at which they must be right."""


@dataclass(frozen=True)
class Command:
    document: str
    text: str

    @property
    def first_line(self) -> str:
        """Without the comment behind it."""
        return re.sub(r"\s{2,}#.*", "", self.text.splitlines()[0])


def commands() -> list[Command]:
    found = []
    for document in documents():
        text = (ROOT / document).read_text()
        matches = [*BLOCK.finditer(text), *WORDS.finditer(BLOCK.sub("", text))]
        found += [Command(document, match[1].strip()) for match in matches]
    return list(dict.fromkeys(found))


def documents() -> list[str]:
    folders = (
        "docs",
        "benchmarks",
        "deploy",
        "tests",
        "kernels",
        "examples",
        "integrations",
        "service",
        "protos",
    )
    pages = [*ROOT.glob("*.md"), *ROOT.glob("frontend/*.md")]
    pages += (page for folder in folders for page in (ROOT / folder).rglob("*.md"))
    return sorted(str(page.relative_to(ROOT)) for page in pages if "node_modules" not in page.parts)


RUN = [command for command in commands() if command.first_line not in NOT_RUN]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[Api]:
    with running_api("--server", server.listen) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where commands run: what they name lies in it, and stand-ins for what cannot be here come first."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    (tmp_path / "photo.spx").write_bytes(hierarchy().encode(50))
    for name in ("photos", "PHOTOS"):
        (tmp_path / name).mkdir()
        shutil.copy(PHOTO, tmp_path / name)
    (tmp_path / "OLD").mkdir()
    (tmp_path / "OLD" / "astronaut.jpg.spx").write_bytes(hierarchy().encode(50))
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    # Whether the target is there and what it would run; these tests are within one of them.
    write_program(
        stand_ins / "make", f'exec {shutil.which("make")} -C {ROOT} --dry-run -o .venv/.package "$@"'
    )
    write_program(
        stand_ins / "grpcurl", f'exec {sys.executable} {Path(__file__).with_name("grpcurl.py")} "$@"'
    )
    return tmp_path


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@functools.cache
def hierarchy() -> kernels.Hierarchy:
    return kernels.segment(np.asarray(Image.open(PHOTO)))


@pytest.mark.parametrize("command", RUN, ids=lambda command: f"{command.document}: {command.first_line[:50]}")
def test_a_command_of_the_documents(
    command: Command, server: RunningServer, folder: Path, request: pytest.FixtureRequest
) -> None:
    script = command.text.replace("127.0.0.1:50051", server.listen).replace("127.0.0.1:50052", server.health)
    if API in script:
        script = script.replace(API, request.getfixturevalue("api").address)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    if command.text.startswith(RUNS_ON):
        serves(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", command.text), environment)
        return
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part, written in WRITES.items():
        for path, counts in written.items() if part in command.text else ():
            label_map = codec.decode((folder / path).read_bytes())
            for count in counts:
                expected = hierarchy().cut(min(count, hierarchy().base_count))
                actual = label_map.labels_at(min(count, hierarchy().base_count))
                assert np.array_equal(actual, expected), (path, count)


def serves(script: str, environment: dict[str, str]) -> None:
    """The command starts a server, which ends as it should."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {script}"],
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "SUPERPIXEL_LOG_FORMAT": "json", **free_ports(script)},
    )
    try:
        server = RunningServer(process)
        with server.channel:
            assert server.health_status() == "SERVING"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def free_ports(script: str) -> dict[str, str]:
    """Free ports for what the command leaves at its default, which may be in use on this machine."""
    names = ("listen", "health-listen", "metrics-listen")
    return {
        f"SUPERPIXEL_{name.upper().replace('-', '_')}": "127.0.0.1:0"
        for name in names
        if f"--{name} " not in script
    }


def test_every_label_map_that_is_looked_at_is_some_commands() -> None:
    texts = [command.text for command in RUN]
    assert [part for part in WRITES if not any(part in text for text in texts)] == []


def test_what_is_not_run_is_still_in_the_documents() -> None:
    first_lines = {command.first_line for command in commands()}
    assert set(NOT_RUN) - first_lines == set()


def test_the_documents_for_users_are_run() -> None:
    documents = {"README.md", "docs/getting-started.md", "docs/operations.md", "docs/clients.md"}
    assert documents | {"docs/command-line.md"} <= {command.document for command in RUN}
