"""PNG files."""

import io

from PIL import Image

from superpixel_service.client.exports.annotation import Annotation


def to_indexed_png(annotation: Annotation) -> bytes:
    """An 8-bit indexed PNG. The pixel value is the class; the palette holds the colours of the classes."""
    image = Image.fromarray(annotation.mask).convert("L")
    image.putpalette(
        [0, 0, 0, *(byte for one in annotation.classes for byte in bytes.fromhex(one.color[1:]))]
    )
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
