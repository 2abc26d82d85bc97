"""The image that each worker segments before the server reports itself ready."""

import io

import numpy as np
from PIL import Image

from superpixel_service.images.decode import ImageLimits, open_image
from superpixel_service.model import EncodedImage, SegmentSpec, Task, accept

_SIDE = 64


def sample_task(limits: ImageLimits) -> Task:
    """A small synthetic picture. It passes the same checks as any caller's."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    pixels = np.stack([4 * x, 4 * y, x ^ y], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    spec = SegmentSpec(EncodedImage(file.getvalue()), target_counts=(16, 4))
    return accept(spec, open_image(spec, limits))
