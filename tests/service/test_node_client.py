"""The example for Node, whose gRPC implementation is grpc-js."""

import os
import shutil
import subprocess
from pathlib import Path

import google.rpc
import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec, segment
from superpixel_service.contract import Reason
from superpixel_service.errors import Overloaded
from tests.service.harness import RunningServer
from tests.service.scripted import Scripted, refuse, serving

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages beside it."""
    assert shutil.which("npm") is not None, "npm is missing: run `make system-packages`"
    root = tmp_path_factory.mktemp("node")
    ours = shutil.ignore_patterns("node_modules")
    for name in ("examples/node", "protos"):
        shutil.copytree(ROOT / name, root / name, ignore=ours)
    folder = root / "examples" / "node"
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(example: Path, address: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", "segment.mjs", *map(str, arguments)],
        cwd=example,
        env={**os.environ, "SUPERPIXEL_SERVER": address},
        capture_output=True,
        text=True,
    )


def test_a_photograph_from_node(server: RunningServer, example: Path, tmp_path: Path) -> None:
    out = tmp_path / "astronaut.spx"
    done = run(example, server.listen, PHOTO, out, "100", "1600", "400")
    assert (done.returncode, done.stderr) == (0, "")
    expected = segment(np.asarray(Image.open(PHOTO)))
    assert done.stdout.splitlines() == [
        f"image: 512x512, {expected.base_count} base regions",
        "levels: 1600 400 100",
        f"wrote: {out}, {out.stat().st_size} bytes",
    ]
    label_map = codec.decode(out.read_bytes())
    for count in (1600, 400, 100, 77):
        assert np.array_equal(label_map.labels_at(count), expected.cut(count))


def test_a_rejection_in_node(server: RunningServer, example: Path, tmp_path: Path) -> None:
    done = run(example, server.listen, PHOTO, tmp_path / "x.spx", "262145")
    assert done.returncode == 1
    assert (
        done.stderr == "INVALID_ARGUMENT: target_counts[0]: must be from 1 to the number of pixels, 262144\n"
    )


def test_grpcs_own_retries_respect_the_pushback(example: Path, tmp_path: Path) -> None:
    error = Overloaded(Reason.QUEUE_FULL, "no room")
    error.retry_seconds = 0.7  # longer than grpc-js would wait by itself
    with serving(Scripted(unary=[lambda context: refuse(context, error)])) as server:
        done = run(example, server.address, PHOTO, tmp_path / "x.spx", "100")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = server.calls
    assert second - first >= 0.7


def test_the_copied_proto_is_googles_own() -> None:
    copy = ROOT / "protos" / "google" / "rpc" / "status.proto"
    installed = Path(next(iter(google.rpc.__path__))) / "status.proto"
    assert without_comments(copy) == without_comments(installed)


def without_comments(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.lstrip().startswith("//")]


def test_the_lock_file_names_no_place_to_fetch_from() -> None:
    assert '"resolved"' not in (ROOT / "examples" / "node" / "package-lock.json").read_text()
