"""The memory that an image takes at its peak: by its pixels, then by its regions and what is asked.

The figures are upper bounds, measured with the images that take most: noise, and patterns whose every pixel
becomes a region. tests/service/test_image_memory.py compares them with the memory of a process.
"""

from superpixel_kernels.errors import AboveDeviceLimit
from superpixel_service.budgets import FIXED_BYTES, PIXEL_BYTES
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.model import EncodedImage, LabelEncoding, Task

# Bounds of a decode process, with the memory that it shares with the server.
_DECODE_PIXEL_BYTES = 36
_DECODE_FILE_BYTES = 4  # per byte of the file
_DECODED_BYTES = 4  # per pixel, until the engine has its own copy
_SEGMENT_PIXEL_BYTES = 32
_SEGMENT_REGION_BYTES = 528
_ROW_BYTES = 64  # per row, and per pixel of a row that a thread works on
_MOST_ROWS = 64  # that threads work on at the same time
_GUIDED_PIXEL_BYTES = 24  # more, with maps of guidance; of the image or of the largest map
_GUIDED_REGION_BYTES = 256  # more, with maps of guidance
_MASKED_PIXEL_BYTES = 24  # more, with a mask, besides what guidance takes
_REFINE_PIXEL_BYTES = 400
_ENCODE_PIXEL_BYTES = 32
_ENCODE_BASE_BYTES = 64  # per base region
_ENCODE_LABEL_BYTES = 320
_NUMBER_BYTES = 12  # per number of an answer that is not in a container: array, wire format, message

# Per label, besides the levels: the tree has three numbers; measurements have ten, and two per neighbour.
_TREE_NUMBERS = 3
_REGION_NUMBERS = 16


def bytes_to_begin(task: Task) -> int:
    """Memory that the image takes before its regions are known, and afterwards if it is a photograph."""
    source = task.image.source
    file = source.byte_count if isinstance(source, EncodedImage) else 0
    decode = _DECODE_PIXEL_BYTES * task.pixels + _DECODE_FILE_BYTES * file
    return FIXED_BYTES + max(PIXEL_BYTES * task.pixels, decode) + _guidance_bytes(task, 0)


def bytes_with_regions(task: Task, regions: int) -> int:
    """Memory that the image takes at its peak, with `regions` base regions."""
    pixels = task.region_pixels
    finest = _finest(task, regions)
    segment = (_DECODED_BYTES + _SEGMENT_PIXEL_BYTES) * pixels + _SEGMENT_REGION_BYTES * regions
    encode = (
        _ENCODE_PIXEL_BYTES * pixels
        + _ENCODE_BASE_BYTES * regions
        + _ENCODE_LABEL_BYTES * finest
        + _NUMBER_BYTES * _numbers(task, finest)
    )
    refine = _REFINE_PIXEL_BYTES * pixels if finest > regions else 0
    where = task.region or task.image
    rows = _ROW_BYTES * (where.height + where.width * min(where.height, _MOST_ROWS))
    with_regions = FIXED_BYTES + rows + max(segment, encode, refine) + _guidance_bytes(task, regions)
    return max(bytes_to_begin(task), with_regions)


def bytes_at_most(task: Task) -> int:
    """Memory that the image takes if each of its pixels becomes a region."""
    return bytes_with_regions(task, task.region_pixels)


def check_memory(task: Task, regions: int, limit: int) -> int:
    """Check the image's memory against the limit for one image; returns the memory in bytes.

    Raises:
        InvalidRequest: the image has too many regions for its size, or too much is asked.
    """
    needed = bytes_with_regions(task, regions)
    if needed > limit:
        raise InvalidRequest(
            Reason.MEMORY_ABOVE_LIMIT,
            f"must take at most {limit} bytes of memory; with {regions} base regions and these counts this "
            f"image takes about {needed}. Smooth it, make it smaller, or ask for less",
            field=_image_field(task),
            metadata={
                "limit_bytes": str(limit),
                "needed_bytes": str(needed),
                "base_count": str(regions),
            },
        )
    return needed


def above_device_limit(task: Task, error: AboveDeviceLimit) -> InvalidRequest:
    """The error for an image that never fits in the GPU memory for one image."""
    return InvalidRequest(
        Reason.MEMORY_ABOVE_LIMIT,
        f"must take at most {error.limit_bytes} bytes of the GPU's memory; this image takes "
        f"{error.needed_bytes}. Make it smaller",
        field=_image_field(task),
        metadata={"limit_bytes": str(error.limit_bytes), "needed_bytes": str(error.needed_bytes)},
    )


def _image_field(task: Task) -> str:
    return "encoded_image" if isinstance(task.image.source, EncodedImage) else "raw_image"


def check_answer_asked(task: Task, regions: int, limit: int) -> None:
    """Check the answer's size, as far as it follows from what is asked: its lists of numbers.

    Raises:
        InvalidRequest: they alone are larger than `limit` bytes.
    """
    finest = _finest(task, regions)
    bytes_per_number = (finest.bit_length() + 6) // 7  # as a variable-length integer
    check_answer_bytes(bytes_per_number * _numbers(task, finest), limit)


def check_answer_bytes(size: int, limit: int) -> None:
    """Check the size of an answer.

    Raises:
        InvalidRequest: the answer is larger than `limit` bytes.
    """
    if size > limit:
        raise InvalidRequest(
            Reason.ANSWER_ABOVE_LIMIT,
            f"must ask for an answer of at most {limit} bytes; this one has about {size}. Ask for fewer or "
            "smaller counts, for no hierarchy, no regions, or for LABEL_ENCODING_SPX",
            field="target_counts",
            metadata={"limit_bytes": str(limit)},
        )


def _guidance_bytes(task: Task, regions: int) -> int:
    if task.guidance is None and task.mask is None:
        return 0
    masked = _MASKED_PIXEL_BYTES if task.mask else 0
    return (_GUIDED_PIXEL_BYTES + masked) * task.pixels + _GUIDED_REGION_BYTES * regions


def _finest(task: Task, regions: int) -> int:
    return task.counts[0] if task.counts else regions


def _numbers(task: Task, finest: int) -> int:
    """Numbers in lists of the answer; a container has none."""
    if task.encoding is LabelEncoding.SPX:
        return 0
    per_label = max(0, len(task.counts) - 1)
    per_label += _TREE_NUMBERS if task.include_hierarchy else 0
    per_label += _REGION_NUMBERS if task.include_regions else 0
    return per_label * finest
