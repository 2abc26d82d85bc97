"""Accepts or rejects a request by the headers of its files, before it enters the queue."""

from superpixel_service.images.decode import ImageLimits, open_image
from superpixel_service.images.guidance_maps import open_guidance
from superpixel_service.images.mask_files import open_mask
from superpixel_service.model import SegmentSpec, Task, accept


def open_task(spec: SegmentSpec, limits: ImageLimits) -> Task:
    """Accept a request.

    Args:
        spec: the request.
        limits: the largest image to accept.

    Raises:
        InvalidRequest: the image, a map, the mask or a parameter is rejected.
    """
    image = open_image(spec, limits)
    guidance = open_guidance(spec.guidance, image, limits)
    return accept(spec, image, guidance, open_mask(spec.mask, image, guidance, limits))
