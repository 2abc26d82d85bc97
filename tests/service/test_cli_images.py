"""How `segment` and `bulk` read images: areas, clamped counts, a region, orientation, animations."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec, segment
from tests.service.command import messages, ran
from tests.service.harness import RunningServer
from tests.service.images import encoded, made_from, saved, scene

WIDTH, HEIGHT = 60, 40
PHOTO = scene(WIDTH, HEIGHT)


def places(server: RunningServer) -> dict[str, tuple[object, ...]]:
    return {"here": (), "there": ("--server", server.listen)}


def label_map(path: Path) -> codec.LabelMap:
    return codec.decode(path.read_bytes())


def counts_of(path: Path) -> list[int]:
    found = label_map(path)
    return [found.count, *(found.levels.counts if found.levels else ())]


def test_two_photographs_of_one_name_keep_their_maps(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name, size in (("a.webp", (50, 20)), ("a.png", (20, 50))):
        picture = Image.fromarray(scene(*size))
        (tmp_path / name).write_bytes(saved(picture, name.rpartition(".")[2].upper()))
        run = ran("segment", tmp_path / name, "--counts", 9, "--out", out)
        assert run.returncode == 0, run.stderr
    assert label_map(out / "a.webp.spx").labels.shape == (20, 50)
    assert label_map(out / "a.png.spx").labels.shape == (50, 20)


def test_default_counts_suit_a_tiny_photograph(tmp_path: Path, server: RunningServer) -> None:
    (tmp_path / "tiny.png").write_bytes(encoded(scene(25, 20)))
    for place, flags in places(server).items():
        out = tmp_path / place
        run = ran("segment", tmp_path / "tiny.png", "--out", out, *flags)
        assert (run.returncode, run.stderr) == (0, "")
        masks = sorted(path.name for path in out.glob("*-mask.png"))
        assert masks == ["tiny.png-100-mask.png", "tiny.png-400-mask.png", "tiny.png-500-mask.png"]


def test_counts_given_are_clamped_on_request_only(tmp_path: Path, server: RunningServer) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.png", (60, 40)), ("small.png", (25, 20)), ("z.png", (60, 40))):
        (folder / name).write_bytes(encoded(scene(*size)))
    for place, flags in places(server).items():
        common = ("--counts", 1600, 30, *flags)
        run = ran("bulk", folder, "--out", tmp_path / f"strict-{place}", *common)
        assert run.returncode == 1
        assert messages(run)[0] == (
            f"{folder / 'small.png'}: --counts: must be from 1 to the number of pixels, 500"
        )
        out = tmp_path / place
        run = ran("bulk", folder, "--out", out, *common, "--clamp")
        assert (run.returncode, messages(run)) == (0, ["3 made, 0 already there, 0 failed"])
        counts = {name: counts_of(out / f"{name}.png.spx") for name in ("a", "small", "z")}
        assert counts == {"a": [1600, 30], "small": [500, 30], "z": [1600, 30]}
        # Another rule for counts is another parameter.
        assert ran("bulk", folder, "--out", out, *common).returncode == 2
    for path in (tmp_path / "here").glob("*.spx"):
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_areas_suit_images_of_any_size(tmp_path: Path, server: RunningServer) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.png", (60, 40)), ("small.png", (25, 20))):
        (folder / name).write_bytes(encoded(scene(*size)))
    for place, flags in places(server).items():
        out = tmp_path / place
        run = ran("bulk", folder, "--out", out, "--areas", 50, 100, "--counts", 9, *flags)
        assert run.returncode == 0, run.stderr
        assert counts_of(out / "a.png.spx") == [48, 24, 9]
        assert counts_of(out / "small.png.spx") == [10, 9, 5]
    assert json.loads((tmp_path / "here" / "superpixel-bulk.json").read_text())["areas"] == [50.0, 100.0]
    run = ran("segment", folder / "a.png", "--areas", 100, "--out", tmp_path / "one")
    assert run.returncode == 0
    assert (tmp_path / "one" / "a.png-24-mask.png").exists()


def test_a_region_is_segmented_and_drawn(tmp_path: Path, server: RunningServer) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PHOTO))
    part = np.ascontiguousarray(PHOTO[5:35, 10:50])
    provenance = made_from((tmp_path / "a.png").read_bytes(), WIDTH, HEIGHT, position=(10, 5))
    expected = segment(part).encode(9, include_hierarchy=True, provenance=provenance)
    for place, flags in places(server).items():
        out = tmp_path / place
        run = ran(
            *("segment", tmp_path / "a.png", "--counts", 9, "--region", 10, 5, 40, 30, "--out", out, *flags)
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert (out / "a.png.spx").read_bytes() == expected
        with Image.open(out / "a.png-9-overlay.png") as overlay:
            assert overlay.size == (80, 60)
        run = ran("segment", tmp_path / "a.png", "--region", 10, 5, 51, 30, "--out", out, *flags)
        assert run.returncode == 1
        assert messages(run) == [
            f"{tmp_path / 'a.png'}: --region: must be at least 1x1 pixels and lie inside the image, which is "
            f"{WIDTH}x{HEIGHT}"
        ]


def test_the_orientation_can_be_ignored(tmp_path: Path, server: RunningServer) -> None:
    sideways = Image.Exif()
    sideways[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved(Image.fromarray(PHOTO), "JPEG", exif=sideways))
    for place, flags in places(server).items():
        for more, shape in (((), (WIDTH, HEIGHT)), (("--no-orientation",), (HEIGHT, WIDTH))):
            out = tmp_path / f"{place}{len(more)}"
            run = ran("segment", tmp_path / "a.jpg", "--counts", 9, "--out", out, *more, *flags)
            assert (run.returncode, run.stderr) == (0, "")
            assert label_map(out / "a.jpg.spx").labels.shape == shape


def test_the_first_frame_of_an_animation_can_be_segmented(tmp_path: Path, server: RunningServer) -> None:
    frames = [Image.fromarray(scene(WIDTH, HEIGHT, seed)) for seed in range(3)]
    animation = tmp_path / "in" / "a.webp"
    animation.parent.mkdir()
    animation.write_bytes(
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    )
    for place, flags in places(server).items():
        out = tmp_path / place
        for command in (("segment", animation), ("bulk", animation.parent)):
            run = ran(*command, "--out", out, *flags)
            assert run.returncode == 1
            assert messages(run)[0] == (
                f"{animation}: must be a single picture, has 3 frames; --first-frame segments the first"
            )
            run = ran(*command, "--out", tmp_path / f"first-{place}", "--counts", 9, "--first-frame", *flags)
            assert run.returncode == 0
        expected = segment(np.asarray(frames[0])).cut(9)
        assert np.array_equal(label_map(tmp_path / f"first-{place}" / "a.webp.spx").labels, expected)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--region", "1", "2", "3"), "argument --region: expected 4 arguments"),
        (("--region", "-1", "2", "3", "4"), "must be a whole number, at least 0; got '-1'"),
        (("--areas", "0.5"), "must be a number from 1 to 2.14748e+09; got '0.5'"),
        (("--areas", "nan"), "got 'nan'"),
        (
            ("--areas", *map(str, range(1, 21)), "--counts", *map(str, range(1, 21))),
            "--counts and --areas: together at most 32, got 40",
        ),
    ],
)
def test_wrong_arguments(flags: tuple[str, ...], text: str, tmp_path: Path) -> None:
    run = ran("segment", "a.png", "--out", tmp_path, *flags)
    assert run.returncode == 2
    assert text in run.stderr


def test_health_checks_do_not_load_the_client() -> None:
    """The parser knows every command, but loads none."""
    code = "import sys; from superpixel_service.commands.parser import parser; parser(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "superpixel_service.client" not in run.stdout.split()
