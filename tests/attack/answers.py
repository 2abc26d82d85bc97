"""Attacks with small requests whose answers, or whose memory, are large."""

from typing import Any

import grpc
import numpy as np

from superpixel_service.contract import SEGMENT
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.attack.files import png_of_bit_noise
from tests.attack.target import CALL_SECONDS, Facts, Target, outcome_of
from tests.attack.wire import Connection
from tests.service.harness import request

TARGETS = 32
"""The most counts of one request."""


def everything(source: bytes | pb.RawImage, *counts: int) -> pb.SegmentRequest:
    """A request for regions and the tree, too, none of it compressed."""
    return request(
        source,
        *counts,
        include_regions=True,
        include_hierarchy=True,
        label_encoding=pb.LABEL_ENCODING_RAW_GZIP,
    )


def most_accepted(target: Target, source: bytes | pb.RawImage, first: int | None = None) -> pb.SegmentRequest:
    """A request for as many counts as the server accepts for this image, regions and tree.

    Args:
        target: the target.
        source: the image.
        first: the largest count; None: the image's base count, which a first call tells.
    """
    with target.channel() as channel:
        stub = pb_grpc.SuperpixelServiceStub(channel)
        options: dict[str, Any] = {"metadata": target.metadata, "timeout": 4 * CALL_SECONDS}
        try:
            first = first or stub.Segment(request(source, 1), **options).base_count
        except grpc.RpcError:  # it takes too much memory: each such call makes the server find out
            return request(source, 1)
        targets = TARGETS
        while targets > 1:
            wanted = everything(source, *range(first, first - targets, -1))
            if outcome_of(lambda: stub.Segment(wanted, **options)) == "OK":  # noqa: B023 (called at once)
                return wanted
            targets //= 2
    return request(source, first)


def bit_noise(target: Target) -> Facts:
    """PNG files of 50 megapixels of one-bit noise, 35 kB each; all that the server accepts in one answer."""
    return target.send_all(2, [most_accepted(target, png_of_bit_noise(7072, 7070))])


def thin_noise(target: Target) -> Facts:
    """Noise of 1 x 4,000,000 pixels, and all that the server accepts in one answer."""
    noise = np.random.default_rng(0).integers(0, 256, 4_000_000, np.uint8).tobytes()
    shapes = ((1, len(noise)), (len(noise), 1))
    raws = [pb.RawImage(width=width, height=height, channels=1, data=noise) for width, height in shapes]
    return target.send_all(2, [most_accepted(target, raw) for raw in raws])


def small_request_large_answer(target: Target) -> bytes:
    """A request of a kilobyte whose answer has some tens of megabytes; afterwards it may be in the cache."""
    side = 640
    return most_accepted(target, png_of_bit_noise(side, side), side * side).SerializeToString()


def cached_answers(target: Target) -> Facts:
    """Six callers get the same large answer from the cache."""
    message = small_request_large_answer(target)
    with target.channel() as channel:
        answer = channel.unary_unary(SEGMENT)(message, metadata=target.metadata, timeout=4 * CALL_SECONDS)
    target.begin()
    outcomes = target.repeat(6, lambda channel, _: target.segment(channel, message))
    return {"outcomes": outcomes, "request_bytes": len(message), "answer_bytes": len(answer)}


def deaf_caller(target: Target) -> Facts:
    """One connection asks for the same large answer five times per second and reads none."""
    message = small_request_large_answer(target)
    connection = Connection(target.server, window=0)
    target.begin()
    calls = 0
    while target.goes_on():
        if connection.ended:
            connection = Connection(target.server, window=0)
        connection.call(SEGMENT, message, target.metadata)
        calls += 1
        target.wait(0.2)
    connection.close()
    return {"calls": calls, "refused": connection.trailers}
