"""Smart select on maps with a mask. tests/frontend compares it with JavaScript, also with masks."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from superpixel_kernels import codec, segment, tree_of_merges
from superpixel_service.client.smart import SmartSelect
from superpixel_service.client.smart.scene import Scene, look
from superpixel_service.interactive import Picture, Point, find_object
from tests.frontend.smart_cases import as_window
from tests.service.images import scene

IMAGE = np.ascontiguousarray(scene()[..., :3])
HEIGHT, WIDTH = IMAGE.shape[:2]
MASK = np.ones((HEIGHT, WIDTH), np.bool_)
MASK[:, WIDTH // 3] = False  # three parts
MASK[HEIGHT // 2, WIDTH // 3 :] = False
MASK[5:15, 5:15] = False  # a hole
PART = np.full((HEIGHT, WIDTH), 2)
PART[:, : WIDTH // 3] = 1
PART[HEIGHT // 2 :, WIDTH // 3 :] = 3
COUNT = 150


@pytest.fixture(scope="module")
def masked() -> codec.LabelMap:
    hierarchy = segment(IMAGE, mask=MASK)
    return codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True, include_regions=True))


def session(smart: SmartSelect, points: NDArray[np.int_], dx: int = 0, dy: int = 0) -> list[list[int]]:
    """What clicks and growth find; all is accepted."""
    found = []
    for number, (x, y) in enumerate((points + np.array([dx, dy])).tolist()):
        found.append(smart.click(x, y, positive=number % 3 < 2, grow=(number % 5 - 2) / 2).tolist())
        found.append(smart.regrow(number % 4).tolist())
        smart.accept()
    return found


def points(width: int, height: int, count: int = 20) -> NDArray[np.int_]:
    rng = np.random.default_rng(8)
    return np.stack([rng.integers(0, width, count), rng.integers(0, height, count)], axis=1)


def measured(seen: Scene) -> dict[str, object]:
    """All that is measured, to the bit."""
    return {
        field.name: value.tolist() if isinstance(value := getattr(seen, field.name), np.ndarray) else value
        for field in fields(seen)
    }


@pytest.mark.parametrize("colored", [True, False])
def test_a_mask_is_as_a_smaller_image(colored: bool) -> None:
    hierarchy = segment(IMAGE)
    whole = codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True, include_regions=True))
    above, below, left, right = 7, 30, 40, 11
    around = ((above, below), (left, right))
    labels = np.pad(whole.labels, around, constant_values=codec.OUTSIDE)
    padded = codec.decode(codec.encode(labels, tree=whole.tree, heights=whole.heights, regions=whole.regions))
    assert padded.mask is not None
    noise = np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), np.uint8)
    noise[padded.mask] = IMAGE.reshape(-1, 3)
    clicks = points(WIDTH, HEIGHT)
    expected = session(SmartSelect(whole, COUNT, IMAGE if colored else None), clicks)
    assert sum(map(len, expected)) > COUNT
    smart = SmartSelect(padded, COUNT, noise if colored else None)
    assert session(smart, clicks, left, above) == expected
    # The box of the image, and one that is larger.
    for x0, y0, x1, y1 in [
        (left, above, left + WIDTH, above + HEIGHT),
        (9, 2, left + WIDTH + 3, above + HEIGHT),
    ]:
        part = np.ascontiguousarray(noise[y0:y1, x0:x1]) if colored else None
        smart = SmartSelect(padded, COUNT, part, box=(x0, y0, x1, y1))
        assert session(smart, clicks, left, above) == expected
        assert measured(look(padded, COUNT, part, (x0, y0, x1, y1))) == measured(
            look(whole, COUNT, IMAGE if colored else None, None)
        )


def test_the_colours_of_pixels_outside_have_no_effect(masked: codec.LabelMap) -> None:
    found = []
    for fill in (0, 255):
        image = np.where(MASK[..., np.newaxis], IMAGE, np.uint8(fill))
        found.append(measured(look(masked, COUNT, image, None)))
    assert found[0] == found[1]


@pytest.mark.parametrize("weights", ["default", None])
def test_a_click_stays_in_its_part_of_the_mask(masked: codec.LabelMap, weights: str | None) -> None:
    labels = masked.labels_at(COUNT)
    smart = SmartSelect(masked, COUNT, IMAGE, weights=weights)
    for x, y in points(WIDTH, HEIGHT).tolist():
        found = np.isin(labels, smart.click(x, y, grow=5))
        if not MASK[y, x]:
            assert not found.any()
            continue
        assert found[y, x]
        assert set(PART[found].tolist()) == {int(PART[y, x])}
    # Below the number of parts, superpixels reach over pixels outside.
    assert SmartSelect(masked, 2, IMAGE, weights=weights).click(2, 2).tolist() == [int(masked.cut(2)[0])]


def test_a_click_outside_changes_nothing(masked: codec.LabelMap) -> None:
    smart = SmartSelect(masked, COUNT, IMAGE)
    smart.click(60, 10)
    smart.accept()
    before = smart.chosen.tolist()
    expected = smart.click(60, 60, grow=1).tolist()
    for positive in (True, False):
        assert not len(smart.click(WIDTH // 3 + 0.5, 20, positive=positive, grow=5))
        assert not len(smart.regrow(5))
        smart.accept()
    assert smart.chosen.tolist() == before
    assert smart.click(60, 60, grow=1).tolist() == expected  # no mark is left


def test_a_view_outside_has_no_superpixels(masked: codec.LabelMap) -> None:
    window = codec.decode(as_window(masked, IMAGE))
    for source in (masked, window):
        for image in (IMAGE[5:15, 5:15], None):
            smart = SmartSelect(source, COUNT, image, box=(5, 5, 15, 15))
            assert not len(smart.click(8, 8))
            assert not len(smart.click(20, 20))
            assert not len(smart.touch(range(COUNT), grow=5))
            smart.accept()
            assert not len(smart.chosen)
    nothing = codec.encode(
        np.zeros((6, 9), np.int32),
        tree=codec.Tree(np.empty(0, np.int32), np.empty(0, np.int32)),
        heights=np.empty(0, np.float32),
        global_ids=codec.GlobalIds(1, np.array([codec.NO_REGION], np.uint32)),
    )
    smart = SmartSelect(codec.decode(nothing), 1, np.zeros((6, 9, 3), np.uint8))
    assert not len(smart.click(4, 4, grow=5))


def test_a_window_of_a_store_selects_as_a_map_with_a_mask(masked: codec.LabelMap) -> None:
    window = codec.decode(as_window(masked, IMAGE))
    assert window.global_ids is not None
    assert (window.mask, window.count) == (None, masked.count + 1)
    for image in (IMAGE, None):
        here, there = SmartSelect(masked, COUNT, image), SmartSelect(window, COUNT + 1, image)
        for number, (x, y) in enumerate(points(WIDTH, HEIGHT).tolist()):
            wish = {"positive": number % 3 < 2, "grow": number % 4}
            found = np.isin(masked.labels_at(COUNT), here.click(x, y, **wish))  # type: ignore[arg-type]
            same = np.isin(window.labels_at(COUNT + 1), there.click(x, y, **wish))  # type: ignore[arg-type]
            assert np.array_equal(found, same)
            here.accept()
            there.accept()


@pytest.mark.parametrize("colored", [True, False])
@pytest.mark.parametrize(
    "at", [(511, 300), (512, 301)]
)  # of these columns and rows every second one is looked at
def test_thin_lines_of_pixels_outside_part_superpixels(at: tuple[int, int], colored: bool) -> None:
    rows, columns = np.indices((600, 1024), np.int32)
    labels = rows // 100 * 8 + columns // 128
    labels[(columns == at[0]) | (rows == at[1])] = codec.OUTSIDE
    image = np.full((600, 1024, 3), 100, np.uint8)
    merges = np.arange(47)
    source = codec.decode(
        codec.encode(
            labels,
            tree=tree_of_merges(merges, merges + 1),
            heights=np.ones(47, np.float32),
            regions=codec.measure_regions(labels, image),
        )
    )
    seen = look(source, 48, image if colored else None, None)
    assert seen.samples < labels.size / 3
    column, row = seen.regions % 8, seen.regions // 8
    for leaf, neighbors in enumerate(seen.adjacency):
        expected = [
            other
            for other in range(48)
            if abs(column[leaf] - column[other]) + abs(row[leaf] - row[other]) == 1
            and (column[leaf] < 4) == (column[other] < 4)
            and (row[leaf] < 3) == (row[other] < 3)
        ]
        assert neighbors == expected
    # Beside the frame, or beside a line.
    assert np.array_equal(seen.framed, np.isin(column, [0, 3, 4, 7]) | np.isin(row, [0, 2, 3, 5]))
    assert not SmartSelect(source, 48, image if colored else None).click(*at, grow=5).size


def test_objects_by_points_and_boxes(masked: codec.LabelMap) -> None:
    picture = Picture(IMAGE, masked)
    found = find_object(picture, [Point(60, 10), Point(WIDTH // 3 + 0.5, 20)])
    assert found[10, 60]
    assert not (found & ~MASK).any()
    assert np.array_equal(found, find_object(picture, [Point(60, 10)]))
    boxed = find_object(picture, (), (45, 5, 90, 30))
    assert boxed.any()
    assert not (boxed & ~MASK).any()
    assert not find_object(picture, (), (7, 7, 12, 12)).any()  # its middle is outside
