"""The widget: a slider for the size of superpixels, smart select by clicks, exports."""

import math
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QWidget,
)

from napari_superpixels.export import write
from superpixel_kernels import segment
from superpixel_kernels.codec import decode
from superpixel_service.client.smart import SmartSelect

STEPS = 1000
FINEST = 3000
SUPERPIXELS, OBJECTS = "superpixels", "objects"


class SuperpixelWidget(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Computes superpixels of an image layer, and selects objects in them.

    Clicks of smart select write into the labels layer "objects", with its selected label. A click with
    Control, or with the right button, takes away; Enter begins a new object: the next label.

    Attributes:
        viewer: napari's.
        count: superpixels that are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.count = 0
        self._label_map: Any = None
        self._picture: NDArray[np.uint8] | None = None
        self._smart: SmartSelect | None = None
        self._image: Image | None = None
        self.images = QComboBox()
        self.compute_button = QPushButton("Compute superpixels")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.shown = QLabel("-")
        self.smart_box = QCheckBox("Smart select: click an object; Control takes away")
        self.new_button = QPushButton("New object (Enter)")
        self.export_button = QPushButton("Export...")
        size = QHBoxLayout()
        size.addWidget(self.slider)
        size.addWidget(self.shown)
        form = QFormLayout(self)
        form.addRow("Image", self.images)
        form.addRow(self.compute_button)
        form.addRow("Size", size)
        form.addRow(self.smart_box)
        form.addRow(self.new_button)
        form.addRow(self.export_button)
        self.compute_button.clicked.connect(self.compute)
        self.slider.valueChanged.connect(self._slid)
        self.new_button.clicked.connect(self.new_object)
        self.export_button.clicked.connect(self._ask_and_export)
        viewer.layers.events.inserted.connect(self._list_images)
        viewer.layers.events.removed.connect(self._list_images)
        viewer.mouse_drag_callbacks.append(self._clicked)
        viewer.bind_key("Enter", self._enter, overwrite=True)
        self._list_images()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Take the clicks back from the viewer."""
        if self._clicked in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._clicked)
        self.viewer.bind_key("Enter", None, overwrite=True)
        super().closeEvent(event)

    # ---- superpixels

    def compute(self) -> None:
        """Segment the chosen image layer, and show its superpixels."""
        name = self.images.currentText()
        if name not in self.viewer.layers:
            show_error("Superpixels: choose an image layer")
            return
        layer = self.viewer.layers[name]
        try:
            self._picture = as_rgb(layer)
            hierarchy = segment(self._picture)
        except ValueError as error:
            show_error(f"Superpixels: {error}")
            return
        finest = min(FINEST, self._picture.shape[0] * self._picture.shape[1])
        self._label_map = decode(hierarchy.encode(finest, include_hierarchy=True))
        self._image = layer
        self._smart = None
        self.show_count(min(400, finest))

    def show_count(self, count: int) -> None:
        """Show this number of superpixels in the labels layer."""
        if self._label_map is None:
            return
        self.count = min(max(count, 1), self._label_map.count)
        self.slider.blockSignals(True)
        self.slider.setValue(round(STEPS * math.log(self.count) / math.log(max(self._label_map.count, 2))))
        self.slider.blockSignals(False)
        self.shown.setText(str(self.count))
        # 0 is transparent in napari.
        self._layer(SUPERPIXELS).data = self._label_map.labels_at(self.count) + 1

    def _slid(self, value: int) -> None:
        if self._label_map is not None:
            self.show_count(round(self._label_map.count ** (value / STEPS)))

    # ---- smart select

    def select(self, x: float, y: float, *, positive: bool = True) -> None:
        """Take the object at a point of the image into the selected label, or take it away."""
        if self._label_map is None:
            show_info("Superpixels: compute superpixels first")
            return
        if self._smart is None:
            self._smart = SmartSelect(self._label_map, self._label_map.count, self._picture)
        changed = np.zeros(self._label_map.count, np.bool_)
        changed[self._smart.click(x, y, positive=positive)] = True
        self._smart.accept()
        layer = self._layer(OBJECTS)
        here = changed[self._label_map.labels]
        label = layer.selected_label
        data = layer.data.copy()
        if positive:
            data[here] = label
        else:
            data[here & (data == label)] = 0
        layer.data = data

    def new_object(self) -> None:
        """Begin another object: clicks before have no effect on it, and it has the next label."""
        self._smart = None
        layer = self._layer(OBJECTS)
        layer.selected_label = int(layer.data.max()) + 1

    def _enter(self, _: Any) -> None:
        self.new_object()

    def _clicked(self, _: Any, event: Any) -> Any:
        if not self.smart_box.isChecked() or self._image is None or event.button not in (1, 2):
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged:  # a drag moves the picture
            return
        y, x = self._image.world_to_data(event.position)[-2:]
        # A pixel's centre has whole coordinates in napari, and half ones here.
        self.select(x + 0.5, y + 0.5, positive=event.button == 1 and "Control" not in event.modifiers)

    # ---- export

    def export(self, path: str) -> None:
        """Write the objects; the ending chooses the format: .png, .json (COCO) or .geojson."""
        write(path, self._layer(OBJECTS).data, self._image.name if self._image is not None else "image")

    def _ask_and_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export objects", "objects.png", "Indexed PNG (*.png);;COCO (*.json);;GeoJSON (*.geojson)"
        )
        if path:
            try:
                self.export(path)
            except (OSError, ValueError) as error:
                show_error(f"Superpixels: {error}")

    # ---- layers

    def _layer(self, name: str) -> Labels:
        """The labels layer of this name, as large and at the place of the image."""
        shape = self._label_map.labels.shape if self._label_map is not None else (1, 1)
        if name in self.viewer.layers and self.viewer.layers[name].data.shape == shape:
            return self.viewer.layers[name]
        if name in self.viewer.layers:
            self.viewer.layers.remove(name)
        options: dict[str, Any] = {"opacity": 0.5}
        if self._image is not None:
            options |= {"scale": self._image.scale[-2:], "translate": self._image.translate[-2:]}
        layer = self.viewer.add_labels(np.zeros(shape, np.int32), name=name, **options)
        if name == SUPERPIXELS:
            layer.contour = 1
        return layer

    def _list_images(self, _: Any = None) -> None:
        chosen = self.images.currentText()
        names = [layer.name for layer in self.viewer.layers if isinstance(layer, Image)]
        self.images.clear()
        self.images.addItems(names)
        if chosen in names:
            self.images.setCurrentText(chosen)


def as_rgb(layer: Image) -> NDArray[np.uint8]:
    """The pixels of an image layer, (height, width, 3) uint8; gray ones within their contrast limits.

    Raises:
        ValueError: the layer is no single image of two axes.
    """
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    if layer.rgb and data.ndim == 3:
        pixels = data[..., :3]
        if pixels.dtype != np.uint8:
            most = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
            pixels = np.clip(np.rint(pixels / most * 255), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels)
    if layer.rgb or data.ndim != 2:
        raise ValueError(f"the layer {layer.name} must be one image of two axes, it has {data.ndim}")
    low, high = layer.contrast_limits
    gray = np.clip((data.astype(np.float64) - low) / max(high - low, 1e-12) * 255, 0, 255)
    return np.repeat(np.rint(gray).astype(np.uint8)[..., np.newaxis], 3, axis=2)
