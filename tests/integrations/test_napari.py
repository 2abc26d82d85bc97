"""The napari plugin in real napari without a screen, and its manifest by npe2."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
napari = pytest.importorskip("napari", reason="needs `make integrations-install`")
npe2 = pytest.importorskip("npe2", reason="needs `make integrations-install`")

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "integrations" / "napari"
sys.path.insert(0, str(PLUGIN))

from napari_superpixels.export import write, write_labels  # noqa: E402
from napari_superpixels.widget import SuperpixelWidget, as_rgb  # noqa: E402

from superpixel_kernels import segment  # noqa: E402
from superpixel_kernels.codec import decode  # noqa: E402
from superpixel_service.client.smart import SmartSelect  # noqa: E402

IMAGE = np.asarray(Image.open(ROOT / "examples" / "photos" / "coffee.jpg"))[::2, ::2]
FINEST = decode(segment(IMAGE).encode(3000, include_hierarchy=True))


@pytest.fixture
def viewer():
    """napari's viewer without its window, which needs OpenGL."""
    made = napari.components.ViewerModel()
    made.add_image(IMAGE, name="coffee")
    return made


@pytest.fixture
def widget(viewer, qtbot):
    made = SuperpixelWidget(viewer)
    qtbot.addWidget(made)
    return made


def click(viewer, x, y, modifiers=(), button=1):
    """A click on a pixel, as napari's canvas reports it."""
    event = SimpleNamespace(type="mouse_press", button=button, modifiers=modifiers, position=(y, x))
    for callback in list(viewer.mouse_drag_callbacks):
        steps = callback(viewer, event)
        next(steps, None)
        event.type = "mouse_release"
        next(steps, None)


def test_the_manifest_is_valid():
    manifest = npe2.PluginManifest.from_file(PLUGIN / "napari_superpixels" / "napari.yaml")
    manifest.validate_imports()
    assert [each.display_name for each in manifest.contributions.widgets] == ["Superpixels"]
    assert {command.id for command in manifest.contributions.commands} == {
        "napari-superpixels.widget",
        "napari-superpixels.write",
    }


def test_the_slider_shows_superpixels_of_any_size(viewer, widget, qtbot):
    from qtpy.QtCore import Qt

    assert widget.images.currentText() == "coffee"
    qtbot.mouseClick(widget.compute_button, Qt.MouseButton.LeftButton)
    layer = viewer.layers["superpixels"]
    assert np.array_equal(layer.data, FINEST.labels_at(400) + 1)
    for value in (0, 250, 999, 1000):
        widget.slider.setValue(value)
        assert widget.count == round(3000 ** (value / 1000))
        assert np.array_equal(layer.data, FINEST.labels_at(widget.count) + 1)
        assert widget.shown.text() == str(widget.count)
    assert viewer.layers["superpixels"] is layer


def test_clicks_select_objects(viewer, widget):
    widget.compute()
    click(viewer, 145, 70)  # smart select is off
    assert "objects" not in viewer.layers
    widget.smart_box.setChecked(True)
    smart = SmartSelect(FINEST, 3000, IMAGE)
    for x, y, positive in ((145, 70, True), (145, 30, True), (20, 15, False)):
        smart.click(x + 0.5, y + 0.5, positive=positive)
        smart.accept()
        click(viewer, x, y, modifiers=() if positive else ("Control",))
    expected = np.isin(FINEST.labels, smart.chosen)
    assert expected.any()
    layer = viewer.layers["objects"]
    assert np.array_equal(layer.data, expected.astype(int))
    widget.new_object()
    assert layer.selected_label == 2
    click(viewer, 20, 190)
    assert layer.data[190, 20] == 2
    click(viewer, 20, 190, button=2)
    assert layer.data[190, 20] == 0
    assert np.array_equal(layer.data == 1, expected)


def test_clicks_follow_the_scale_and_the_place_of_the_image(qtbot):
    viewer = napari.components.ViewerModel()
    viewer.add_image(IMAGE, name="coffee", scale=(2, 3), translate=(10, 20))
    widget = SuperpixelWidget(viewer)
    qtbot.addWidget(widget)
    widget.compute()
    widget.smart_box.setChecked(True)
    click(viewer, 20 + 3 * 145, 10 + 2 * 70)
    layer = viewer.layers["objects"]
    assert layer.data[70, 145] == 1
    assert np.array_equal(layer.scale, (2, 3))
    assert np.array_equal(layer.translate, (10, 20))


def test_objects_are_exported(viewer, widget, tmp_path):
    widget.compute()
    widget.select(145.5, 70.5)
    widget.new_object()
    widget.select(20.5, 190.5)
    objects = viewer.layers["objects"].data
    widget.export(str(tmp_path / "objects.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "objects.png")), objects)
    widget.export(str(tmp_path / "objects.json"))
    coco = json.loads((tmp_path / "objects.json").read_text())
    assert coco["images"][0]["file_name"] == "coffee"
    assert sum(each["area"] for each in coco["annotations"]) == (objects > 0).sum()
    path = str(tmp_path / "objects.geojson")
    assert write_labels(path, objects, {"name": "objects"}) == [path]
    assert json.loads(Path(path).read_text())["features"]
    with pytest.raises(ValueError, match="path"):
        write(str(tmp_path / "objects.tif"), objects)
    with pytest.raises(ValueError, match="labels"):
        write(path, np.full((4, 4), 300))
    with pytest.raises(ValueError, match="labels"):
        write(path, np.zeros((2, 4, 4), int))


def test_kinds_of_image_layers():
    viewer = napari.components.ViewerModel()
    gray = viewer.add_image(IMAGE[..., 0].astype(np.uint16) * 16, contrast_limits=(0, 255 * 16))
    assert np.array_equal(as_rgb(gray)[..., 1], IMAGE[..., 0])
    floats = viewer.add_image(IMAGE / 255, rgb=True)
    assert np.array_equal(as_rgb(floats), IMAGE)
    with pytest.raises(ValueError, match="two axes"):
        as_rgb(viewer.add_image(np.zeros((3, 4, 5))))


def test_what_cannot_be_computed_is_said(qtbot):
    viewer = napari.components.ViewerModel()
    widget = SuperpixelWidget(viewer)
    qtbot.addWidget(widget)
    widget.select(1, 1)
    viewer.add_image(np.zeros((3, 4, 5)), name="stack")
    from napari.utils.notifications import NotificationManager, notification_manager

    assert isinstance(notification_manager, NotificationManager)
    before = len(notification_manager.records)
    widget.compute()
    assert "two axes" in notification_manager.records[-1].message
    assert len(notification_manager.records) == before + 1
    assert "superpixels" not in viewer.layers
