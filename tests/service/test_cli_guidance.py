"""`superpixel segment` and `bulk` with guidance: the maps of each image, here and on a server."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import codec
from tests.kernels.coco import compressed, runs_of
from tests.service.bulk_folders import printed
from tests.service.command import called, messages
from tests.service.guidance_maps import (
    EDGES,
    FEW,
    HEIGHT,
    IMPORTANCE,
    PIXELS,
    PRIOR,
    SPX,
    WIDTH,
    disks,
    painted,
)
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene


@pytest.fixture(params=["here", "server"])
def where(request: pytest.FixtureRequest, server: RunningServer) -> list[str]:
    """Arguments that say who does the work."""
    return [] if request.param == "here" else ["--server", server.listen]


@pytest.fixture
def maps(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "e.png").write_bytes(encoded(EDGES))
    (folder / "p.png").write_bytes(encoded(PRIOR.astype(np.uint16)))
    (folder / "p.spx").write_bytes(SPX)
    (folder / "v.png").write_bytes(encoded(IMPORTANCE))
    masks = [{"size": [HEIGHT, WIDTH], "counts": compressed(runs_of(mask)).decode()} for mask in disks()]
    (folder / "p.json").write_text(json.dumps({"annotations": [{"segmentation": each} for each in masks]}))
    return folder


def labels_of(path: Path, count: int) -> np.ndarray:
    return codec.decode(path.read_bytes()).labels_at(count)


def made(run: subprocess.CompletedProcess[str], out: Path) -> list[str]:
    """The label maps that the run wrote."""
    return sorted(printed(run.stdout, out))


def expected(count: int, pixels: np.ndarray = PIXELS, **maps: Any) -> np.ndarray:
    return kernels.segment(pixels, guidance=kernels.Guidance(**maps)).cut(count)


PARAMETERS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "edges": (["--edges", "e.png"], {"edges": EDGES}),
    "edges, weight": (["--edges", "e.png", "--edge-weight", "7"], {"edges": EDGES, "edge_weight": 7}),
    "prior": (["--prior", "p.png"], {"prior": PRIOR}),
    "prior, weight": (["--prior", "p.png", "--prior-weight", "400"], {"prior": PRIOR, "prior_weight": 400}),
    "prior, hard": (["--prior", "p.png", "--prior-mode", "hard"], {"prior": PRIOR, "prior_mode": "hard"}),
    "label map": (["--prior", "p.spx"], {"prior": codec.decode(SPX).labels}),
    "level": (["--prior", "p.spx", "--prior-count", "9"], {"prior": codec.decode(SPX).labels_at(9)}),
    "masks": (["--prior", "p.json"], {"prior": painted(disks())}),
    "importance": (["--importance", "v.png"], {"importance": IMPORTANCE}),
    "all": (
        ["--edges", "e.png", "--prior", "p.png", "--importance", "v.png"],
        {"edges": EDGES, "prior": PRIOR, "importance": IMPORTANCE},
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_segment(
    name: str,
    maps: Path,
    tmp_path: Path,
    where: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, by_engine = PARAMETERS[name]
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(PIXELS))
    paths = [maps / each if "." in each else each for each in arguments]
    run = called(capsys, "segment", photo, "--counts", 60, "--out", tmp_path / "out", *paths, *where)
    assert run.returncode == 0, run.stderr
    assert np.array_equal(labels_of(tmp_path / "out" / "photo.png.spx", 60), expected(60, **by_engine))


def test_inspect_tells_guided_maps_apart(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(PIXELS))
    facts = {}
    for name, arguments in (("none", []), ("soft", ["--prior", maps / "p.png", "--edges", maps / "e.png"])):
        out = tmp_path / name
        called(capsys, "segment", photo, "--counts", 60, "--out", out, "--compactness", 20, *arguments)
        run = called(capsys, "inspect", out / "photo.png.spx", "--json")
        facts[name] = json.loads(run.stdout)
        text = called(capsys, "inspect", out / "photo.png.spx").stdout
        assert facts[name]["image_sha256"] in text
    none, soft = facts["none"], facts["soft"]
    for each in (none, soft):
        assert (each["compactness"], each["position"]) == (20.0, [0, 0])
        assert (each["picture_size"], len(each["image_sha256"])) == ([WIDTH, HEIGHT], 64)
        assert "prov" in [part["section"] for part in each["sections"]]
    assert none["guidance"] is None
    fitted = kernels.Guidance(edges=EDGES, prior=PRIOR).fitted(HEIGHT, WIDTH)
    assert soft["guidance"] == {
        "version": 1,
        "edge_weight": 2,
        "prior_mode": "soft",
        "prior_weight": 64,
        "sha256": fitted.fingerprint.hex(),
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--edge-weight", "3"], "--edge-weight needs --edges"),
        (["--prior-mode", "hard"], "--prior-mode needs --prior"),
        (["--prior-weight", "3"], "--prior-weight needs --prior"),
        (["--prior-count", "3"], "--prior-count needs --prior"),
        (["--edges", "x", "--edge-weight", "9"], "must be a whole number from 0 to 8; got '9'"),
        (["--prior", "x", "--prior-weight", "-1"], "must be a whole number from 0 to 512; got '-1'"),
        (["--prior", "x", "--prior-mode", "firm"], "invalid choice: 'firm'"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    run = called(capsys, "segment", "photo.png", "--out", tmp_path, *arguments)
    assert run.returncode == 2
    assert text in run.stderr


def test_maps_that_are_not_there_or_no_maps(
    maps: Path, tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(PIXELS))
    cases = [
        ("--edges", tmp_path / "no.png", 2, f"--edges: {tmp_path / 'no.png'}: no such file or folder"),
        ("--prior", maps, 2, f"--prior: {maps}: is a folder, not a file"),
        ("--edges", maps / "p.spx", 1, f"{photo}: --edges: must be a PNG file"),
        ("--prior", maps / "big.spx", 1, f"{photo}: --prior: must be a complete, undamaged SPXL label map"),
    ]
    (maps / "big.spx").write_bytes(SPX[:-5])
    for flag, path, status, text in cases:
        run = called(capsys, "segment", photo, "--out", tmp_path / "out", "--counts", 9, flag, path, *where)
        assert (run.returncode, messages(run)) == (status, [text])
    run = called(
        capsys,
        *("segment", photo, "--out", tmp_path / "out", "--counts", 9),
        *("--prior", maps / "p.spx", "--prior-count", 61, *where),
    )
    assert messages(run) == [f"{photo}: --prior-count: must be at most the map's own 60"]


# ---- bulk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, in two folders; one name occurs with two suffixes."""
    images = tmp_path / "images"
    (images / "a").mkdir(parents=True)
    for number, name in enumerate(("x.jpg", "x.png", "a/y.png")):
        (images / name).write_bytes(encoded(scene(WIDTH, HEIGHT, seed=number)))
    return images


def test_bulk_takes_the_map_of_the_same_name(
    folder: Path, tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edges, priors, out = tmp_path / "edges", tmp_path / "priors", tmp_path / "out"
    (edges / "a").mkdir(parents=True)
    (priors / "a").mkdir(parents=True)
    rolled = {name: np.roll(EDGES, 9 * at) for at, name in enumerate(("x.jpg", "x.png", "a/y.png"))}
    (edges / "x.jpg.png").write_bytes(encoded(rolled["x.jpg"]))
    (edges / "x.png.png").write_bytes(encoded(rolled["x.png"]))
    (edges / "a" / "y.png").write_bytes(encoded(rolled["a/y.png"]))
    (priors / "x.png").write_bytes(encoded(FEW.astype(np.uint8)))  # for both images called x
    (priors / "a" / "y.png.spx").write_bytes(SPX)
    flags = ["--edges", edges, "--prior", priors, "--prior-mode", "hard", "--counts", 50, *where]
    run = called(capsys, "bulk", folder, "--out", out, *flags)
    assert (run.returncode, made(run, out)) == (0, ["a/y.png.spx", "x.jpg.spx", "x.png.spx"])
    for number, name in enumerate(("x.jpg", "x.png", "a/y.png")):
        prior = codec.decode(SPX).labels if name == "a/y.png" else FEW
        pixels = scene(WIDTH, HEIGHT, seed=number)
        by_engine = expected(50, pixels, edges=rolled[name], prior=prior, prior_mode="hard")
        assert np.array_equal(labels_of(out / f"{name}.spx", 50), by_engine)


def test_bulk_reports_each_image_without_a_map(
    folder: Path, tmp_path: Path, where: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edges, out = tmp_path / "edges", tmp_path / "out"
    edges.mkdir()
    (edges / "x.png").write_bytes(encoded(EDGES))
    run = called(capsys, "bulk", folder, "--out", out, "--edges", edges, "--counts", 50, *where)
    assert (run.returncode, made(run, out)) == (1, ["x.jpg.spx", "x.png.spx"])
    tried = f"{edges / 'a' / 'y.png.png'}, {edges / 'a' / 'y.png'}"
    assert (
        f"{folder / 'a' / 'y.png'}: --edges: there is no map for this image: none of {tried} exists"
        in messages(run)
    )
    (edges / "a").mkdir()
    (edges / "a" / "y.png").write_bytes(encoded(EDGES))
    run = called(capsys, "bulk", folder, "--out", out, "--edges", edges, "--counts", 50, *where)
    assert (run.returncode, made(run, out)) == (0, ["a/y.png.spx"])


def test_bulk_with_one_map_for_every_image(
    folder: Path, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run = called(capsys, "bulk", folder, "--out", out, "--importance", maps / "v.png", "--counts", 50)
    assert run.returncode == 0, run.stderr
    for number, name in enumerate(("x.jpg", "x.png", "a/y.png")):
        by_engine = expected(50, scene(WIDTH, HEIGHT, seed=number), importance=IMPORTANCE)
        assert np.array_equal(labels_of(out / f"{name}.spx", 50), by_engine)


@pytest.mark.parametrize("checksum", [[], ["--checksum"]])
def test_bulk_notices_changed_maps(
    folder: Path, tmp_path: Path, checksum: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edges, out = tmp_path / "edges", tmp_path / "out"
    (edges / "a").mkdir(parents=True)
    for name in ("x.jpg.png", "x.png.png", "a/y.png"):
        (edges / name).write_bytes(encoded(EDGES))
    flags = ["--out", out, "--edges", edges, "--counts", 50, *checksum]
    assert len(made(called(capsys, "bulk", folder, *flags), out)) == 3
    assert made(called(capsys, "bulk", folder, *flags), out) == []
    # Another date alone counts without --checksum.
    os.utime(edges / "x.jpg.png", ns=(1, 1))
    assert made(called(capsys, "bulk", folder, *flags), out) == ([] if checksum else ["x.jpg.spx"])
    (edges / "x.png.png").write_bytes(encoded(EDGES[::-1].copy()))
    assert made(called(capsys, "bulk", folder, *flags), out) == ["x.png.spx"]
    assert made(called(capsys, "bulk", folder, *flags), out) == []


def test_bulk_does_not_mix_guidances(
    folder: Path, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ["--out", out, "--counts", 50]
    prior = ["--prior", maps / "p.png"]
    assert called(capsys, "bulk", folder, *flags, *prior).returncode == 0
    for other in (
        [],
        ["--edges", maps / "e.png"],
        [*prior, "--prior-mode", "hard"],
        [*prior, "--prior-weight", 65],
        [*prior, "--edges", maps / "e.png"],
    ):
        run = called(capsys, "bulk", folder, *flags, *other)
        assert run.returncode == 2
        assert "made with other parameters (guidance " in messages(run)[0]
    assert called(capsys, "bulk", folder, *flags, *prior, "--prior-weight", 64).returncode == 0
