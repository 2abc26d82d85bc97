"""The image that a starting server sends through the whole path before it calls itself ready."""

import io

import numpy as np
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.decode import open_image
from superpixel_service.orders import EncodedImage, LabelEncoding, Lane, Order, Task, accept

_SIDE = 64


def sample_task(settings: Settings) -> Task:
    """A small synthetic picture, through the same checks as any caller's."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    pixels = np.stack([4 * x, 4 * y, x ^ y], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    order = Order(
        source=EncodedImage(file.getvalue()),
        target_counts=(16, 4),
        target_areas=(),
        compactness=None,
        encoding=LabelEncoding.SPX,
        include_hierarchy=False,
        include_regions=False,
        region=None,
        lane=Lane.INTERACTIVE,
        apply_orientation=True,
        first_frame_only=False,
    )
    return accept(order, open_image(order, settings))
