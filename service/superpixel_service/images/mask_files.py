"""Turns the mask of a request into an array, in two steps, as `images/decode` does with the image.

`open_mask` checks size and header before the image enters the queue. `decode_mask` runs on a worker.
"""

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import FittedGuidance
from superpixel_kernels.guidance import MAX_PRIOR_LABEL
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import MaskSpec, OpenedGuidance, OpenedMask, RawMap, byte_count
from superpixel_service.images.decode import ImageLimits
from superpixel_service.images.map_files import SentMap, decode_png, size_of_png, size_of_raw
from superpixel_service.model import OpenedImage, Rectangle

_MASK = SentMap("mask", False, {}, Reason.MASK_INVALID, Reason.MASK_UNDECODABLE)


def open_mask(
    spec: MaskSpec | None, image: OpenedImage, guidance: OpenedGuidance | None, limits: ImageLimits
) -> OpenedMask | None:
    """Accept or reject the mask by its size in bytes and its header; None without a mask.

    Raises:
        InvalidRequest: the mask is rejected.
    """
    if spec is None:
        return None
    sent = spec.sent
    if sent is None:
        raise _MASK.rejected(Reason.MASK_MISSING, "must have its data: set png or raw")
    size = byte_count(sent)
    total = image.byte_count + size + (guidance.byte_count if guidance else 0)
    if total > limits.max_image_bytes:
        raise _MASK.rejected(
            Reason.MASK_TOO_MANY_BYTES,
            f"image, maps and mask together must have at most {limits.max_image_bytes} bytes, have {total}",
            limit_bytes=str(limits.max_image_bytes),
        )
    width, height = size_of_raw(_MASK, sent, (1, 8)) if isinstance(sent, RawMap) else size_of_png(_MASK, sent)
    if (width, height) != (image.width, image.height):
        raise _MASK.rejected(
            Reason.MASK_OTHER_SIZE,
            f"must have the size of the image, {image.width}x{image.height}, has {width}x{height}",
            image_width=str(image.width),
            image_height=str(image.height),
        )
    return OpenedMask(spec, size)


def decode_mask(
    opened: OpenedMask, region: Rectangle | None, guidance: FittedGuidance | None
) -> NDArray[np.bool_]:
    """Decode the mask, and cut out the region.

    Args:
        opened: the accepted mask.
        region: the part that is segmented, in pixels of the upright image; None: the whole image.
        guidance: what else the superpixels follow.

    Returns:
        (height, width) bool, true inside; at least one pixel is.

    Raises:
        InvalidRequest: the mask is truncated or damaged, no pixel is inside, or it does not go with the
            guidance.
        MemoryError: there is no memory for the mask.
    """
    sent = opened.spec.sent
    assert sent is not None  # noqa: S101 (the bytes are freed after this)
    if not isinstance(sent, RawMap):
        values = decode_png(_MASK, sent)
    elif sent.bits == 1:
        rows = np.frombuffer(sent.data, np.uint8).reshape(sent.height, -1)
        values = np.unpackbits(rows, axis=1, count=sent.width)
    else:
        values = np.frombuffer(sent.data, np.uint8).reshape(sent.height, sent.width)
    if region is not None:
        values = values[region.y : region.y + region.height, region.x : region.x + region.width]
    mask: NDArray[np.bool_] = values != 0
    if not mask.any():
        where = "the image" if region is None else "the region of interest"
        raise _MASK.rejected(Reason.MASK_EMPTY, f"must have a pixel of {where} inside: one that is not 0")
    if guidance is not None and guidance.prior is not None and not mask.all():
        _check_prior(guidance, guidance.prior)
    return mask


def _check_prior(guidance: FittedGuidance, prior: NDArray[np.int32]) -> None:
    """The engine adds the mask to a hard prior, whose labels grow by 1."""
    if not guidance.is_hard:
        raise _MASK.rejected(
            Reason.MASK_WITH_SOFT_PRIOR,
            "cannot be combined with a prior map in PRIOR_MODE_SOFT; use PRIOR_MODE_HARD, or send only one",
        )
    if int(prior.max()) == MAX_PRIOR_LABEL:
        raise InvalidRequest(
            Reason.GUIDANCE_LABEL_TOO_LARGE,
            f"with a mask, labels must be at most {MAX_PRIOR_LABEL - 1}, has {MAX_PRIOR_LABEL}",
            field="guidance.prior",
            metadata={"map": "prior"},
        )
