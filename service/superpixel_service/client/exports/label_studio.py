"""Label Studio."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.exports.annotation import Annotation


def to_label_studio(
    annotation: Annotation, *, from_name: str = "tag", to_name: str = "image"
) -> list[dict[str, Any]]:
    """Results of a Label Studio annotation or prediction: one brush mask per class.

    Args:
        annotation: a class per pixel.
        from_name: name of the BrushLabels tag.
        to_name: name of the Image tag.
    """
    height, width = annotation.mask.shape
    used = set(np.unique(annotation.mask).tolist())
    return [
        {
            "id": f"class-{value}",
            "type": "brushlabels",
            "from_name": from_name,
            "to_name": to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": _brush_rle(annotation.mask.ravel() == value),
                "brushlabels": [one.name],
            },
        }
        for value, one in enumerate(annotation.classes, 1)
        if value in used
    ]


def _brush_rle(inside: NDArray[np.bool_]) -> list[int]:
    """Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.

    Args:
        inside: (height * width,) the pixels of the class.

    Returns:
        Bytes.
    """
    sizes = (3, 4, 8, 16)  # bits of a run's length
    bits = [f"{4 * inside.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in sizes)]
    starts = np.flatnonzero(np.diff(inside, prepend=~inside[:1]))
    lengths = np.diff(starts, append=inside.size)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        left = 4 * length
        word = "11111111" if inside[start] else "00000000"
        while left > 0:
            run = min(left, 1 << 16)
            index = next(i for i, size in enumerate(sizes) if run <= 1 << size)
            bits.append(f"1{index:02b}{run - 1:0{sizes[index]}b}{word}")
            left -= run
    text = "".join(bits)
    # At a byte boundary this adds a zero byte, as label-studio-sdk does.
    text += "0" * (8 - len(text) % 8)
    return np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0")).tolist()
