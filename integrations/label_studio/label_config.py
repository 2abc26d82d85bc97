"""Print a labelling interface for Label Studio that works with backend.py.

python label_config.py Cat Dog --count 1600 > config.xml
"""

import argparse
from collections.abc import Sequence
from xml.etree import ElementTree

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#9a6324")
SMART_TAGS = {"BrushLabels": "brush", "KeyPointLabels": "point", "RectangleLabels": "box"}


def label_config(
    classes: Sequence[str], *, image: str = "image", count: int | None = None, mode: str | None = None
) -> str:
    """The XML of a labelling interface.

    Args:
        classes: names of the classes.
        image: the key of the image in the tasks' data.
        count: superpixels of an image; None: the backend's default.
        mode: "smart" or "touched"; None: the backend's default.

    Raises:
        ValueError: there is no class, or two have the same name.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"classes: must be different names, at least one, got {list(classes)}")
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value=f"${image}", zoom="true", zoomControl="true")
    for kind, name in SMART_TAGS.items():
        tag = ElementTree.SubElement(view, kind, name=name, toName="image", smart="true")
        if kind == "BrushLabels":
            if count is not None:
                tag.set("superpixelCount", str(count))
            if mode is not None:
                tag.set("superpixelMode", mode)
        else:
            # The tool without the backend would only leave points and rectangles.
            tag.set("smartOnly", "true")
        for at, one in enumerate(classes):
            ElementTree.SubElement(tag, "Label", value=one, background=COLORS[at % len(COLORS)])
    ElementTree.indent(view)
    return ElementTree.tostring(view, "unicode") + "\n"


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description="Print a labelling interface for Label Studio.")
    parser.add_argument("classes", nargs="+", help="names of the classes")
    parser.add_argument(
        "--image", default="image", help="key of the image in the tasks (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, help="superpixels of an image (default: the backend's, 3000)")
    parser.add_argument("--mode", choices=("smart", "touched"), help="default: the backend's, smart")
    options = parser.parse_args()
    print(label_config(options.classes, image=options.image, count=options.count, mode=options.mode), end="")


if __name__ == "__main__":
    main()
