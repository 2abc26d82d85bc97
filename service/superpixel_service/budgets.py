"""The division of the memory among images, messages, answers and cache, and the defaults that follow."""

from collections.abc import Mapping

PIXEL_BYTES = 48
"""Memory of an image per pixel before its regions are known; at its peak with one region per 43 pixels."""

PHOTO_PIXEL_BYTES = 72
"""Memory of a photograph per pixel at its peak: with one region per 15 pixels, as much as textures have."""

FIXED_BYTES = 8 << 20
"""Memory of an image of any size."""

SERVER_BYTES = 300 << 20
"""Memory of a server without images: the program, its threads, and freed memory that the allocator keeps."""

MESSAGE_COPIES = 3
"""Memory of waiting images, as a multiple of their bytes: includes freed memory of earlier messages."""

SMALL_ANSWER_BYTES = 128 << 10
"""Answers up to this size never wait for room; the number of open calls bounds them."""

ANSWER_COPIES = 2
"""Memory of an answer that is being sent, as a multiple of its bytes: gRPC keeps its own copy."""

DECODER_BYTES = 80 << 20
"""Memory of a decode process besides what an image is charged: the program, and a decoder's code tables."""

LANES = 2

_LARGEST_IMAGE_PIXELS = 50_000_000
_LARGEST_IMAGE_BYTES = 64 << 20
_BUDGET_BYTES = 256 << 20  # for messages, and for unsent answers
_SCRATCH_BYTES = 128 << 20  # of one worker; enough for photographs of six megapixels
_CACHE_BYTES = 64 << 20
_IMAGE_SHARE = 0.75  # of the memory for all images in work, for one of them
_ONE_IMAGE_BYTES = 4 << 30  # for a photograph of the largest size, with many regions
_CALLS = 128
_WORKER_BYTES = 640 << 20  # of the memory for images, per worker of a lane


def default_budgets(memory: int, given: Mapping[str, int]) -> dict[str, int]:
    """Values of the settings that bound memory, for a server that may use `memory` bytes.

    Args:
        memory: bytes that the process may use.
        given: explicit values. They count, even if the server then needs more than `memory`.

    Returns:
        The values of the settings that are not in `given`.
    """
    made: dict[str, int] = {}

    def value(name: str, default: int) -> int:
        return given[name] if name in given else made.setdefault(name, default)

    free = memory - min(SERVER_BYTES, memory // 4)
    value("max_image_bytes", min(_LARGEST_IMAGE_BYTES, free // 16))
    messages = value("max_inflight_bytes", min(_BUDGET_BYTES, free // 16))
    unsent = value("max_unsent_bytes", min(_BUDGET_BYTES, free // 16))
    cache = value("cache_bytes", min(_CACHE_BYTES, free // 64))
    value("max_answer_bytes", unsent // ANSWER_COPIES)
    left = free - MESSAGE_COPIES * messages - LANES * unsent - cache
    left -= ANSWER_COPIES * SMALL_ANSWER_BYTES * given.get("max_inflight_calls", _CALLS)
    # An explicit size of images must be possible. A third of the rest is for the workers' scratch memory and
    # decode processes.
    largest = largest_photo_bytes(given.get("max_image_pixels", 0))
    images = value(
        "max_inflight_memory_bytes",
        max(
            min(left * 2 // 3, (left - LANES * DECODER_BYTES) * 4 // 5),
            free // 4,
            largest,
            given.get("max_image_memory_bytes", 0),
        ),
    )
    one = value(
        "max_image_memory_bytes", min(images, max(largest, min(_ONE_IMAGE_BYTES, int(_IMAGE_SHARE * images))))
    )
    value(
        "max_image_pixels",
        min(_LARGEST_IMAGE_PIXELS, max(1, (one - largest_photo_bytes(0)) // PHOTO_PIXEL_BYTES)),
    )
    return made


def largest_photo_bytes(pixels: int) -> int:
    """Memory of a photograph of `pixels` pixels at its peak."""
    return PHOTO_PIXEL_BYTES * pixels + 2 * FIXED_BYTES


def most_workers(cores: int, images: int) -> int:
    """Workers per lane for that many cores and `images` bytes of memory for images, at least 1."""
    return max(1, min(cores, images // _WORKER_BYTES))


def scratch_bytes(workers: int, images: int) -> int:
    """Memory that each worker keeps between two images: for all workers together a quarter of `images`."""
    return min(_SCRATCH_BYTES, images // (4 * LANES * workers))


def needed_bytes(
    *, workers: int, images: int, messages: int, unsent: int, calls: int, cache: int, arriving: int = 0
) -> int:
    """Memory of a server at all its limits, in bytes.

    Args:
        workers: per lane.
        images: `max_inflight_memory_bytes`.
        messages: `max_inflight_bytes`.
        unsent: `max_unsent_bytes`.
        calls: `max_inflight_calls`.
        cache: `cache_bytes`.
        arriving: bytes of the largest message of each call that may be open. They are the messages in flight,
            if all callers send their largest ones at the same time.
    """
    return (
        SERVER_BYTES
        + images
        + LANES * workers * (scratch_bytes(workers, images) + DECODER_BYTES)
        + max(MESSAGE_COPIES * messages, arriving)
        + LANES * unsent
        + ANSWER_COPIES * SMALL_ANSWER_BYTES * calls
        + cache
    )
