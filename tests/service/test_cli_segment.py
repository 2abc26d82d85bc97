"""`superpixel segment` and `superpixel inspect`: label maps, masks, overlays, and errors of files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
from superpixel_service.images import overlay
from tests.service.command import called, messages
from tests.service.harness import RunningServer
from tests.service.images import encoded, made_from, saved, scene

PHOTO = scene()
HEIGHT, WIDTH = PHOTO.shape[:2]


def read(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


# ---- segment -----------------------------------------------------------------------------------------------


def test_segment_writes_the_label_map_masks_and_overlays(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "er"
    run = called(capsys, "segment", photo, "--counts", 40, 10, 40, "--out", out)
    assert (run.returncode, run.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == {
        "street.png.spx",
        *(f"street.png-{count}-{kind}.png" for count in (10, 40) for kind in ("mask", "overlay")),
    }
    hierarchy = segment(PHOTO)
    provenance = made_from(photo.read_bytes(), WIDTH, HEIGHT)
    expected = hierarchy.encode(40, include_hierarchy=True, provenance=provenance)
    assert (out / "street.png.spx").read_bytes() == expected
    for count in (10, 40):
        mask = read(out / f"street.png-{count}-mask.png")
        assert mask.dtype == np.uint16
        assert np.array_equal(mask, hierarchy.cut(count))
        assert read(out / f"street.png-{count}-overlay.png").shape == (2 * HEIGHT, 2 * WIDTH, 3)
    header, *rows = (line.split() for line in run.stdout.split("\n\n")[0].splitlines())
    assert header[0] == "superpixels"
    areas = np.bincount(hierarchy.cut(10).ravel())
    assert rows[0] == [
        "10",
        str(areas.min()),
        str(WIDTH * HEIGHT // 10),
        str(areas.max()),
        str(out / "street.png-10-overlay.png"),
        str(out / "street.png-10-mask.png"),
    ]
    assert [row[0] for row in rows] == ["10", "40"]


def test_compactness_reaches_the_engine(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(capsys, "segment", photo, "--counts", 30, "--compactness", 40, "--out", tmp_path)
    provenance = made_from(photo.read_bytes(), WIDTH, HEIGHT, compactness=40.0)
    expected = segment(PHOTO, SegmentParams(40.0)).encode(30, include_hierarchy=True, provenance=provenance)
    assert (tmp_path / "street.png.spx").read_bytes() == expected


def test_a_server_gives_the_same_label_map(
    photo: Path, tmp_path: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flags in (("here", ()), ("there", ("--server", server.listen))):
        run = called(
            capsys,
            *("segment", photo, "--counts", 40, 10, "--compactness", 30, "--out", tmp_path / name, *flags),
        )
        assert (run.returncode, run.stderr) == (0, "")
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_masks_of_many_superpixels_have_room_for_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = scene(300, 240)
    (tmp_path / "fine.png").write_bytes(encoded(pixels))
    run = called(capsys, "segment", tmp_path / "fine.png", "--counts", 65537, "--out", tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert np.array_equal(read(tmp_path / "fine.png-65537-mask.tif"), segment(pixels).cut(65537))


def test_the_picture_is_drawn_as_it_is_segmented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Turned upright, gray, 16 bits: what is drawn has the size of the map, and notices are passed on."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(saved(Image.fromarray(PHOTO), "JPEG", exif=sideways))
    deep = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
    (tmp_path / "deep.png").write_bytes(encoded(deep))
    assert (
        called(capsys, "segment", tmp_path / "turned.jpg", "--counts", 9, "--out", tmp_path).returncode == 0
    )
    assert read(tmp_path / "turned.jpg-9-mask.png").shape == (WIDTH, HEIGHT)
    assert read(tmp_path / "turned.jpg-9-overlay.png").shape == (2 * WIDTH, 2 * HEIGHT, 3)
    run = called(capsys, "segment", tmp_path / "deep.png", "--counts", 9, "--out", tmp_path)
    assert run.returncode == 0
    assert messages(run) == [
        f"{tmp_path / 'deep.png'}: 16-bit gray was scaled to 8 bits: 4 became 0, and 4795 became 255"
    ]


def test_large_pictures_get_lines_of_whole_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "_SMOOTH_PIXELS", 0)
    labels = segment(PHOTO).cut(12)
    line = overlay.cracks(labels)
    picture = overlay.draw(PHOTO, labels, 1)
    assert (picture[line] == overlay.LINE).all()
    untouched = ~overlay.grow(line, 1)
    assert np.array_equal(picture[untouched], PHOTO[untouched])


def test_photos_that_cannot_be_segmented(
    photo: Path, tmp_path: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    wrong = {
        tmp_path / "none.png": "no such file or directory",
        tmp_path: "is a directory",
        tmp_path / "cut.png": "must be a complete, undamaged image",
        tmp_path / "text.jpg": "must be a JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF file",
    }
    for path, text in wrong.items():
        run = called(capsys, "segment", path, "--out", tmp_path / "out")
        assert (run.returncode, run.stdout) == (1, "")
        (line,) = messages(run)
        assert line.startswith(f"{path}: {text}")
    for flags in ((), ("--server", server.listen)):
        run = called(
            capsys, "segment", photo, "--counts", WIDTH * HEIGHT + 1, "--out", tmp_path / "out", *flags
        )
        assert (run.returncode, run.stdout) == (1, "")
        assert messages(run) == [f"{photo}: --counts: must be from 1 to the number of pixels, 10800"]
    assert not (tmp_path / "out").exists()


def test_an_unusable_output_folder_is_reported(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    run = called(capsys, "segment", photo, "--out", tmp_path / "taken")
    assert (run.returncode, messages(run)) == (1, [f"{tmp_path / 'taken'}: file exists"])


# ---- inspect -----------------------------------------------------------------------------------------------


def test_inspect_reports_the_contents_of_a_label_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hierarchy = segment(PHOTO)
    whole, some = tmp_path / "whole.spx", tmp_path / "some.spx"
    whole.write_bytes(hierarchy.encode(50, include_hierarchy=True))
    some.write_bytes(hierarchy.encode(50, levels=[20, 5]))

    run = called(capsys, "inspect", whole, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    facts = json.loads(run.stdout)
    areas = np.bincount(hierarchy.cut(50).ravel())
    assert (facts["width"], facts["height"], facts["count"]) == (WIDTH, HEIGHT, 50)
    assert (facts["smallest_region_pixels"], facts["largest_region_pixels"]) == (areas.min(), areas.max())
    assert (facts["tree"], facts["levels"], facts["region_data"]) == (True, [50], False)
    assert [part["section"] for part in facts["sections"]] == ["LABL", "TREE", "hght"]
    stored = sum(part["stored_bytes"] for part in facts["sections"])
    assert facts["bytes"] == whole.stat().st_size == 20 + 12 * 4 + stored

    run = called(capsys, "inspect", some)
    assert run.returncode == 0
    fields = dict(line.split(maxsplit=1) for line in run.stdout.split("\n\n")[0].splitlines())
    assert fields["levels"] == "50, 20, 5"
    assert "LVLS" in run.stdout


def test_inspect_reads_region_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = segment(PHOTO).cut(12)
    path = tmp_path / "regions.spx"
    path.write_bytes(codec.encode(labels, regions=codec.measure_regions(labels, PHOTO)))
    facts = json.loads(called(capsys, "inspect", path, "--json").stdout)
    assert facts["region_data"] is True
    assert [part["section"] for part in facts["sections"]] == ["LABL", "regn"]


def test_inspect_rejects_invalid_label_maps(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.spx"
    cut.write_bytes(segment(PHOTO).encode(50)[:-20])
    for path, text in (
        (photo, "does not begin with SPXL"),
        (cut, "LABL"),
        (tmp_path / "no.spx", "no such file"),
    ):
        run = called(capsys, "inspect", path)
        assert (run.returncode, run.stdout) == (1, "")
        (line,) = messages(run)
        assert line.startswith(f"{path}: ")
        assert text in line
