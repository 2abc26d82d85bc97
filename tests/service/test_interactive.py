"""Objects by points and boxes: the same as smart select click by click."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import segment
from superpixel_kernels.codec import InvalidParameter
from superpixel_service import segment_file
from superpixel_service.client import InvalidRequest
from superpixel_service.client.smart import SmartSelect
from superpixel_service.interactive import ObjectFinder, Point, outlines
from tests.service.harness import running_server

PHOTO = (Path(__file__).parents[2] / "examples" / "photos" / "coffee.jpg").read_bytes()
IMAGE = np.asarray(Image.open(io.BytesIO(PHOTO)))
CLICKS = [Point(290, 140), Point(290, 60), Point(20.5, 30.5, positive=False)]


def as_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
TURNED = as_file(Image.fromarray(IMAGE[:40, :30]), "JPEG", exif=EXIF)


@pytest.fixture(scope="module")
def finder() -> ObjectFinder:
    return ObjectFinder.from_environment({"SUPERPIXEL_COUNT": "1200"})


def test_points_give_what_clicks_give(finder: ObjectFinder) -> None:
    answer = segment_file(PHOTO, counts=1200)
    smart = SmartSelect(answer, 1200, IMAGE)
    for click in CLICKS:
        smart.click(click.x, click.y, positive=click.positive)
        smart.accept()
    expected = np.isin(answer.labels, smart.chosen)
    assert expected.any()
    assert np.array_equal(finder.find(PHOTO, CLICKS), expected)
    assert not finder.find(PHOTO).any()
    assert finder.find(PHOTO, [Point(-5, 9999)]).sum() == 0


def test_a_server_gives_what_this_process_gives(finder: ObjectFinder) -> None:
    with running_server() as server:
        remote = ObjectFinder.from_environment(
            {"SUPERPIXEL_SERVER": server.listen, "SUPERPIXEL_COUNT": "1200"}
        )
        assert np.array_equal(remote.find(PHOTO, CLICKS), finder.find(PHOTO, CLICKS))
        for upright in (False, True):
            there, here = (each.open(TURNED, 90, upright=upright) for each in (remote, finder))
            assert np.array_equal(there.label_map.labels, here.label_map.labels)
            assert there.image.shape[:2] == there.label_map.labels.shape
        assert remote.client is not None
        remote.client.close()


def stretched(image: Image.Image) -> np.ndarray:
    """Gray of 16 bits as the contract scales it, from its robust range."""
    samples = np.asarray(image).astype(np.int64)
    ordered = np.sort(samples, axis=None)
    aside = samples.size // 1000
    low, high = ordered[aside], ordered[-1 - aside]
    return np.clip(((samples - low) * 255 + (high - low) // 2) // (high - low), 0, 255)[..., np.newaxis]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pixels_of_16_bits_are_those_that_are_segmented(finder: ObjectFinder, kind: str) -> None:
    deep = (100 + 16 * IMAGE[:40, :60, 1].astype(np.uint32)).astype(np.uint16)
    deep[3, 5] = 65_535  # one hot pixel must not make all others dark
    picture = finder.open(as_file(Image.fromarray(deep), kind), 50)
    expected = segment(picture.image)
    assert np.array_equal(picture.label_map.labels, expected.cut(50))
    assert np.ptp(picture.image) == 255
    assert np.median(picture.image) > 40


def test_a_box_gives_an_object_of_its_extent(finder: ObjectFinder) -> None:
    box = (170, 15, 410, 285)
    found = finder.find(PHOTO, box=box)
    y, x = np.nonzero(found)
    shared = (min(x.max() + 1, 410) - max(x.min(), 170)) * (min(y.max() + 1, 285) - max(y.min(), 15))
    extent = (x.max() + 1 - x.min()) * (y.max() + 1 - y.min())
    assert shared / (240 * 270 + extent - shared) > 0.6
    assert np.array_equal(finder.find(PHOTO, box=(410, 285, 170, 15)), found)
    # Points in a box: nothing outside of it and its margin.
    inside = finder.find(PHOTO, [Point(290, 140)], (250, 100, 330, 180))
    assert inside[140, 290]
    assert inside.sum() == inside[90:190, 240:340].sum()
    with pytest.raises(InvalidParameter, match="box"):
        finder.find(PHOTO, box=(700, 0, 800, 10))


def test_superpixels_of_the_latest_images_are_kept() -> None:
    finder = ObjectFinder(count=50, kept=2)
    first = finder.open(PHOTO)
    assert finder.open(PHOTO) is first
    assert finder.open(PHOTO, 60).count == 60
    assert finder.open(PHOTO) is first
    finder.open(PHOTO, 70)  # the one with 60 has not been used for longest
    assert finder.open(PHOTO) is first
    finder.open(PHOTO, 80)
    finder.open(PHOTO, 90)
    assert finder.open(PHOTO) is not first


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(IMAGE[:40, :30]).convert("L"),
        Image.fromarray(IMAGE[:40, :30]).convert("RGBA"),
        Image.fromarray(IMAGE[:40, :30]).convert("P"),
        Image.fromarray((IMAGE[:40, :30, 0].astype(np.uint16)) * 257),
    ],
    ids=["gray", "rgba", "palette", "16 bits"],
)
def test_kinds_of_images(image: Image.Image) -> None:
    picture = ObjectFinder().open(as_file(image))
    assert picture.image.shape == (40, 30, 3)
    assert picture.count == 1200  # no more than pixels
    if image.mode != "RGBA":
        expected = np.asarray(image.convert("RGB")) if image.mode != "I;16" else stretched(image)
        assert np.abs(picture.image.astype(int) - expected).max() <= 1


def test_images_are_turned_as_exif_says() -> None:
    assert ObjectFinder().open(TURNED).label_map.labels.shape == (30, 40)
    assert ObjectFinder().open(TURNED, upright=False).label_map.labels.shape == (40, 30)
    assert ObjectFinder().open(TURNED).image.shape[:2] == (30, 40)


def test_what_is_no_image() -> None:
    with pytest.raises(InvalidRequest):
        ObjectFinder().find(b"no image", [Point(1, 1)])


def test_outlines_are_of_the_largest_piece_first() -> None:
    mask = np.zeros((10, 12), bool)
    mask[1:3, 1:3] = True
    mask[4:9, 2:11] = True
    mask[6, 5] = False
    assert outlines(mask) == [[(2, 4), (11, 4), (11, 9), (2, 9)], [(1, 1), (3, 1), (3, 3), (1, 3)]]
    assert outlines(np.zeros((3, 3), bool)) == []
