"""Draw docs/images/napari.jpg: the plugin in napari, with a photograph. It needs a display.

QT_QPA_PLATFORM=xcb xvfb-run -a .venv-integrations/bin/python integrations/napari/screenshot.py
"""

import sys
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from napari_superpixels.widget import SuperpixelWidget  # noqa: E402


def main() -> None:
    """Select the cup of a photograph by two clicks, and take a picture of the window."""
    viewer = napari.Viewer()
    viewer.add_image(np.asarray(Image.open(ROOT / "examples" / "photos" / "coffee.jpg")), name="coffee")
    widget = SuperpixelWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Superpixels", area="right")
    widget.compute()
    widget.select(290, 140)
    widget.select(290, 60)
    widget.show_count(150)
    viewer.window.resize(1100, 640)
    for _ in range(20):
        QApplication.processEvents()
    picture = Image.fromarray(viewer.window.screenshot(canvas_only=False)).convert("RGB")
    picture.save(ROOT / "docs" / "images" / "napari.jpg", quality=80)


if __name__ == "__main__":
    main()
