"""Stores of large images: made, continued, read by window, and opened by other programs' readers."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from superpixel_kernels import Guidance, SegmentParams, codec, segment
from superpixel_kernels.errors import Cancelled
from superpixel_service.client.smart import SmartSelect
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.layout import ATTRIBUTES
from superpixel_service.large.opening import open_source
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.run import WORK, Plan, make_store
from superpixel_service.large.source import Facts, Window
from superpixel_service.large.store import Store
from tests.kernels.codec_tools import canonical
from tests.service.large_files import TRANSFORM, smooth, write_geotiff

HEIGHT, WIDTH = 700, 1100
COUNTS = (900, 60)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return smooth(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def made(image: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    source = write_geotiff(folder / "scene.tif", image, photometric="RGB")
    plan = Plan(open_source(str(source)), str(source), counts=COUNTS, compactness=20.0)
    make_store(plan, str(folder / "store.zarr"))
    plan.source.close()
    return folder / "store.zarr"


@pytest.fixture(scope="module")
def store(made: Path) -> Store:
    return Store(str(made))


@pytest.fixture(scope="module")
def whole(image: NDArray[np.uint8]) -> Any:
    return segment(image, SegmentParams(20.0))


def test_what_the_store_says(store: Store, made: Path, whole: Any) -> None:
    info = store.info
    assert (info.width, info.height, info.base_count) == (WIDTH, HEIGHT, whole.base_count)
    assert info.counts == COUNTS
    assert info.scales == (1, 2, 4)
    assert info.transform == TRANSFORM
    assert "UTM zone 33N" in info.crs
    assert info.source["reader"] == "rasterio"
    assert len(info.source["sha256"]) == 64
    assert not (made / WORK).exists()


@pytest.mark.parametrize(
    "window", [(0, 0, WIDTH, HEIGHT), (500, 300, 130, 250), (1099, 699, 1, 1), (0, 510, 700, 4)]
)
@pytest.mark.parametrize("count", [None, 900, 33, 1])
def test_a_window_is_the_cut_of_the_whole_image(
    store: Store, whole: Any, window: tuple[int, int, int, int], count: int | None
) -> None:
    x, y, width, height = window
    label_map = codec.decode(store.window(*window, count=count, include_regions=True))
    cut = whole.cut(count or WIDTH * HEIGHT // 64)
    assert np.array_equal(label_map.labels, canonical(cut[y : y + height, x : x + width]))
    assert not label_map.connected
    assert label_map.provenance is not None
    assert label_map.provenance.position == (x, y)
    assert label_map.provenance.picture_size == (WIDTH, HEIGHT)
    assert label_map.global_ids is not None
    assert label_map.global_ids.scale == 1
    assert label_map.regions is not None
    assert int(label_map.regions.area.sum()) == width * height


@pytest.mark.parametrize("count", [None, 300])
def test_the_coarser_levels_of_a_window_are_cuts_of_the_whole_image(
    store: Store, whole: Any, count: int | None
) -> None:
    label_map = codec.decode(store.window(500, 300, 130, 90, count=count))
    parts: dict[int, NDArray[np.int32]] = {}
    for each in (*range(1, 40), 55, 80, 150, 300, 700, 3000):
        part = canonical(whole.cut(each)[300:390, 500:630])
        parts[int(part.max()) + 1] = part
    assert len(parts) >= 8
    for coarser, part in parts.items():
        if coarser <= label_map.count:
            assert np.array_equal(label_map.labels_at(coarser), part)
    assert label_map.heights is not None
    assert (np.diff(label_map.heights) >= 0).all()


def test_ids_are_the_same_in_all_windows_and_at_all_counts(store: Store, whole: Any) -> None:
    left = codec.decode(store.window(0, 100, 600, 300, count=200))
    right = codec.decode(store.window(400, 200, 700, 300, count=200))
    assert left.global_ids is not None
    assert right.global_ids is not None
    of_left = left.global_ids.ids[left.labels][100:300, 400:600]
    of_right = right.global_ids.ids[right.labels][0:200, 0:200]
    assert np.array_equal(of_left, of_right)
    base = store.base(Window(0, 0, WIDTH, HEIGHT))
    assert np.array_equal(base, whole.base_labels)
    for id_ in np.unique(of_left).tolist():
        members = store.members([id_])
        mask = np.isin(base[100:400, 0:600], members)
        assert np.array_equal(mask, left.global_ids.ids[left.labels] == id_)


def test_large_stores_number_windows_without_a_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(0, 0, 300, 200), (500, 300, 130, 250), (1099, 699, 1, 1)]
    expected = [store.window(*place, count=count) for place in places for count in (1, 60, 900)]
    monkeypatch.setattr("superpixel_service.large.store.MAX_TABLE", 0)
    assert [store.window(*place, count=count) for place in places for count in (1, 60, 900)] == expected


def test_regions_are_measured_over_the_whole_image(store: Store, whole: Any) -> None:
    measured = store.regions_at(60)
    expected = whole.regions(60)
    assert np.array_equal(measured.area, expected.area)
    assert np.array_equal(measured.box, expected.box)
    assert np.array_equal(measured.mean_color, expected.mean_color)
    assert np.abs(measured.centroid - expected.centroid / 16).max() <= 1 / 32
    again = store.regions(measured.ids[[7, 3]].tolist())
    assert again.area.tolist() == expected.area[[7, 3]].tolist()
    assert store.regions([]).area.size == 0
    assert store.members([]).size == 0


@pytest.mark.parametrize(("scale", "of"), [(2, lambda i: 2 * i + 1), (4, lambda i: 4 * i + 1)])
def test_a_coarse_level_shows_one_pixel_of_each_block(store: Store, whole: Any, scale: int, of: Any) -> None:
    width, height = store.info.level_size(scale)
    label_map = codec.decode(store.window(0, 0, width, height, scale=scale, count=500))
    rows = np.minimum(of(np.arange(height)), HEIGHT - 1)
    columns = np.minimum(of(np.arange(width)), WIDTH - 1)
    assert np.array_equal(label_map.labels, canonical(whole.cut(500)[rows][:, columns]))
    assert label_map.global_ids is not None
    assert label_map.global_ids.scale == scale
    assert label_map.provenance is not None
    assert label_map.provenance.picture_size == (width, height)
    assert store.count_for(scale) == min(width * height // 64, store.info.base_count)


def test_the_pyramid_of_the_image_has_rounded_means(store: Store, image: NDArray[np.uint8]) -> None:
    fine = image[:100, :200].astype(int)
    mean = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2] + 2) // 4
    assert np.array_equal(store.pixels(Window(0, 0, 100, 50), scale=2), mean)
    assert np.array_equal(store.pixels(Window(7, 9, 50, 40)), image[9:49, 7:57])


@pytest.mark.parametrize(
    ("arguments", "more", "text"),
    [
        ((0, 0, WIDTH + 1, 5), {}, "is not inside the image of 1100 x 700"),
        ((-1, 0, 5, 5), {}, "is not inside"),
        ((0, 0, 0, 5), {}, "is not inside"),
        ((0, 0, WIDTH, 5), {"scale": 2}, "is not inside the image of 550 x 350"),
        ((0, 0, 5, 5), {"scale": 3}, "scale: must be one of 1, 2, 4; got 3"),
        ((0, 0, 5, 5), {"count": 0}, "count: must be from 1 to"),
        ((0, 0, 5, 5), {"count": 10**9}, "count: must be from 1 to"),
    ],
)
def test_windows_that_are_not_there(store: Store, arguments: Any, more: Any, text: str) -> None:
    with pytest.raises(LargeFailed, match=text):
        store.window(*arguments, **more)


def test_regions_that_are_not_there(store: Store) -> None:
    for id_ in (-1, 2 * store.info.base_count - 1, 0xFFFF_FFFF):
        with pytest.raises(LargeFailed, match=f"region {id_}: the store has the regions 0 to"):
            store.members([id_])


def test_other_readers_open_it(made: Path, whole: Any, image: NDArray[np.uint8]) -> None:
    group = zarr.open_group(made, mode="r")
    assert np.array_equal(group["labels/60/0"][:], whole.cut(60) + 1)
    # ome-zarr-py reads what napari shows: the image, and the label images with it.
    location = parse_url(str(made))
    assert location is not None
    nodes = list(Reader(location)())
    shapes = [node.data[0].shape for node in nodes if node.data]
    assert shapes == [(3, HEIGHT, WIDTH), (HEIGHT, WIDTH), (HEIGHT, WIDTH)]
    assert np.array_equal(np.asarray(nodes[0].data[0]), image.transpose(2, 0, 1))
    assert len(nodes[0].data) == 3
    from ome_zarr_models import open_ome_zarr

    assert type(open_ome_zarr(group)).__name__ == "Image"
    assert type(open_ome_zarr(group["labels/900"])).__name__ == "ImageLabel"  # type: ignore[arg-type]
    with warnings.catch_warnings(record=True) as found:
        list(group.members(max_depth=None))
    assert not found  # nothing in the folder is foreign to Zarr


def test_pixels_outside_belong_to_no_superpixel(tmp_path: Path) -> None:
    image = smooth(300, 400)
    mask = np.ones((300, 400), np.bool_)
    mask[:, 250:] = False
    mask[40:60, 40:60] = False
    source = ArraySource(image, facts=Facts("array"), mask=mask)
    make_store(Plan(source, "array://", counts=[20]), str(tmp_path / "a.zarr"))
    store = Store(str(tmp_path / "a.zarr"))
    label_map = codec.decode(store.window(30, 30, 300, 200, include_regions=True))
    assert label_map.global_ids is not None
    ids = label_map.global_ids.ids[label_map.labels]
    assert np.array_equal(ids == codec.NO_REGION, ~mask[30:230, 30:330])
    assert label_map.tree is not None
    smart = SmartSelect(label_map, label_map.count)
    assert not len(smart.click(250 - 30, 50, grow=5))  # outside
    chosen = np.isin(label_map.labels, smart.click(100, 100, grow=5))
    assert chosen[100, 100]
    assert not (chosen & ~mask[30:230, 30:330]).any()
    only = codec.decode(store.window(300, 10, 50, 50))
    assert (only.count, only.global_ids.ids.tolist()) == (1, [codec.NO_REGION])  # type: ignore[union-attr]
    labels = zarr.open_group(tmp_path / "a.zarr", mode="r")["labels/20/0"][:]
    assert np.array_equal(labels == 0, ~mask)
    # The count is that of the superpixels inside, and none of them has pixels on both sides.
    assert len(np.unique(labels)) == 21
    finest = codec.decode(store.window(0, 0, 400, 300, count=store.info.base_count))
    assert finest.global_ids is not None
    assert np.array_equal(np.sort(finest.global_ids.ids), [*range(store.info.base_count), codec.NO_REGION])
    assert np.array_equal(
        np.bincount(store.base(Window(0, 0, 400, 300))[mask]),
        store.regions(range(store.info.base_count)).area,
    )
    assert int(store.regions_at(20).area.sum()) == mask.sum()


def test_counts_with_a_mask_are_nested_cuts_of_the_merges_inside(tmp_path: Path) -> None:
    image = smooth(40, 70)
    image[:, 30:40] = 255
    mask = np.ones((40, 70), np.bool_)
    mask[:, 30:40] = False  # two parts that only pixels outside connect
    make_store(Plan(ArraySource(image, mask=mask), "array://"), str(tmp_path / "a.zarr"))
    store = Store(str(tmp_path / "a.zarr"))
    prior = segment(image, guidance=Guidance(prior=mask.astype(np.uint8), prior_mode="hard"))
    inside = np.unique(prior.base_labels[mask])
    assert store.info.base_count == len(inside)
    assert np.array_equal(inside[store.base(Window(0, 0, 70, 40))[mask]], prior.base_labels[mask])
    everything = Window(0, 0, 70, 40)
    seen: dict[int, NDArray[np.int32]] = {}
    for each in range(1, prior.base_count + 1):
        part = np.where(mask, prior.cut(each), -1)
        seen[len(np.unique(part)) - 1] = canonical(part)
    for count in range(1, len(inside) + 1):
        assert np.array_equal(canonical(store.nodes(everything, count).astype(np.int64)), seen[count])


def plan_for(path: Path, **more: Any) -> Plan:
    return Plan(open_source(str(path)), str(path), **{"counts": [50], **more})


def test_a_run_that_was_stopped_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("writer", "stored_mask"):
        monkeypatch.setattr(f"superpixel_service.large.{module}.SHARD", 512)
    image = smooth(600, 1100)
    np.save(tmp_path / "a.npy", image)
    make_store(plan_for(tmp_path / "a.npy"), str(tmp_path / "once.zarr"))
    steps: list[str] = []
    for stop_after in (1, 4, 9, 12, 15, 18):
        calls = 0

        def stopped(limit: int = stop_after) -> bool:
            nonlocal calls
            calls += 1
            return calls > limit

        with pytest.raises(Cancelled):
            make_store(
                plan_for(tmp_path / "a.npy"),
                str(tmp_path / "often.zarr"),
                stopped=stopped,
                progress=lambda step, *_: steps.append(step),
            )
        with pytest.raises(LargeFailed, match="is half written"):
            Store(str(tmp_path / "often.zarr"))
    assert steps.count("range") <= 2 * 3
    make_store(plan_for(tmp_path / "a.npy"), str(tmp_path / "often.zarr"))
    once, often = (
        {
            str(file.relative_to(tmp_path / name)): file.read_bytes()
            for file in (tmp_path / name).rglob("*")
            if file.is_file()
        }
        for name in ("once.zarr", "often.zarr")
    )
    assert once == often


def test_a_store_of_other_parameters_is_left_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth(40, 50))
    address = str(tmp_path / "a.zarr")
    made = make_store(plan_for(tmp_path / "a.npy"), address)
    assert make_store(plan_for(tmp_path / "a.npy"), address) == made
    with pytest.raises(LargeFailed, match="has been begun with another compactness"):
        make_store(plan_for(tmp_path / "a.npy", compactness=3.0), address)
    np.save(tmp_path / "a.npy", smooth(40, 50, seed=1))
    with pytest.raises(LargeFailed, match="has been begun with another source"):
        make_store(plan_for(tmp_path / "a.npy"), address)
    zarr.open_group(tmp_path / "foreign.zarr", mode="w").create_array("x", data=np.zeros(3))
    with pytest.raises(LargeFailed, match="is another Zarr group"):
        make_store(plan_for(tmp_path / "a.npy"), str(tmp_path / "foreign.zarr"))


def test_counts_above_the_base(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth(40, 50))
    with pytest.raises(LargeFailed, match="counts: must be at most the base count"):
        make_store(plan_for(tmp_path / "a.npy", counts=[3000]), str(tmp_path / "a.zarr"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _: None, "is not a store of superpixels"),
        (lambda found: {**found, "version": 99}, "is a store of version 99; only 1 is known here"),
        (lambda found: {**found, "complete": False}, "is half written"),
        (lambda found: {**found, "width": "wide"}, "its description is damaged"),
        (lambda found: {**found, "base_count": 0}, "its description is damaged"),
        (lambda found: {**found, "scales": []}, "its description is damaged"),
        (lambda found: {k: v for k, v in found.items() if k != "ranges"}, "its description is damaged"),
    ],
)
def test_stores_that_cannot_be_opened(tmp_path: Path, change: Any, text: str) -> None:
    np.save(tmp_path / "a.npy", smooth(20, 30))
    make_store(plan_for(tmp_path / "a.npy", counts=[]), str(tmp_path / "a.zarr"))
    file = tmp_path / "a.zarr" / "zarr.json"
    found = json.loads(file.read_text())
    changed = change(found["attributes"].pop(ATTRIBUTES))
    if changed is not None:
        found["attributes"][ATTRIBUTES] = changed
    file.write_text(json.dumps(found))
    with pytest.raises(LargeFailed, match=text):
        Store(str(tmp_path / "a.zarr"))


def test_parts_of_a_store_that_are_damaged(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth(200, 300))
    address = tmp_path / "a.zarr"
    make_store(plan_for(tmp_path / "a.npy"), str(address))
    parent = address / "tree" / "parent" / "c" / "0"
    whole = parent.read_bytes()
    parent.write_bytes(whole[:20])
    with pytest.raises(LargeFailed, match=r"a\.zarr: "):
        Store(str(address)).window(0, 0, 20, 20, count=5)
    parent.write_bytes(whole)
    Store(str(address)).window(0, 0, 20, 20, count=5)
    chunk = address / "base" / "0" / "c" / "0" / "0"
    chunk.write_bytes(b"broken")
    with pytest.raises(LargeFailed, match=r"a\.zarr: "):
        Store(str(address)).window(0, 0, 20, 20)
    with pytest.raises(LargeFailed, match="there is no store"):
        Store(str(tmp_path / "missing.zarr"))
