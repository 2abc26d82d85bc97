"""Label Studio."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.classes import FIRST_OBJECT
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import values_of
from superpixel_service.client.runs import find_runs

Edges = list[tuple[int, int]]
"""Start and end of each run of pixels, row by row."""


def to_label_studio(
    annotation: Annotation, *, from_name: str = "tag", to_name: str = "image"
) -> list[dict[str, Any]]:
    """Results of a Label Studio annotation or prediction.

    One brush mask per object, and one per class of its pixels without an object. The name of an object is the
    text of its region.

    Args:
        annotation: a class and an object per pixel.
        from_name: name of the BrushLabels tag.
        to_name: name of the Image tag.
    """
    height, width = annotation.mask.shape
    edges = _edges_by_value(values_of(annotation))
    named = [
        (FIRST_OBJECT + i, f"object-{i + 1}", one.class_value, one.name)
        for i, one in enumerate(annotation.objects)
    ]
    named += [(value, f"class-{value}", value, "") for value in range(1, len(annotation.classes) + 1)]
    return [
        {
            "id": name,
            "type": "brushlabels",
            "from_name": from_name,
            "to_name": to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": _brush_rle(edges[value], annotation.mask.size),
                "brushlabels": [annotation.classes[label - 1].name],
            },
        }
        | ({"meta": {"text": [text]}} if text else {})
        for value, name, label, text in named
        if value in edges
    ]


def _edges_by_value(values: NDArray[np.uint8] | NDArray[np.uint16]) -> dict[int, Edges]:
    flat = values.ravel()
    starts, ends = find_runs(flat)
    edges: dict[int, Edges] = {}
    for value, start, end in zip(flat[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
        edges.setdefault(value, []).append((start, end))
    return edges


def _brush_rle(edges: Edges, pixels: int) -> list[int]:
    """Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.

    Args:
        edges: of the pixels inside.
        pixels: of the picture.

    Returns:
        Bytes.
    """
    sizes = (3, 4, 8, 16)  # bits of a run's length
    bits = [f"{4 * pixels:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in sizes)]

    def write(length: int, word: str) -> None:
        left = 4 * length
        while left > 0:
            run = min(left, 1 << 16)
            index = next(i for i, size in enumerate(sizes) if run <= 1 << size)
            bits.append(f"1{index:02b}{run - 1:0{sizes[index]}b}{word}")
            left -= run

    at = 0
    for start, end in edges:
        write(start - at, "00000000")
        write(end - start, "11111111")
        at = end
    write(pixels - at, "00000000")
    text = "".join(bits)
    # At a byte boundary this adds a zero byte, as label-studio-sdk does.
    text += "0" * (8 - len(text) % 8)
    return np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0")).tolist()
