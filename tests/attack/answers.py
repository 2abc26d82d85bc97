"""Attacks with small requests whose answers, or whose memory, are large."""

import numpy as np

from superpixel_service.contract import SEGMENT
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.attack.files import png_of_bit_noise
from tests.attack.target import CALL_SECONDS, Facts, Target
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


def finest(target: Target, source: bytes | pb.RawImage) -> pb.SegmentRequest:
    """A request for 32 counts just below the image's base count, which a first call tells."""
    with target.channel() as channel:
        stub = pb_grpc.SuperpixelServiceStub(channel)
        answer = stub.Segment(request(source, 1), metadata=target.metadata, timeout=CALL_SECONDS)
    return everything(source, *range(answer.base_count, answer.base_count - TARGETS, -1))


def bit_noise(target: Target) -> Facts:
    """PNG files of 50 megapixels of one-bit noise, 35 kB each; 32 counts, regions and tree."""
    return target.send_all(2, [finest(target, png_of_bit_noise(7072, 7070))])


def thin_noise(target: Target) -> Facts:
    """Noise of 1 x 4,000,000 pixels with 32 counts, regions and tree."""
    noise = np.random.default_rng(0).integers(0, 256, 4_000_000, np.uint8).tobytes()
    shapes = ((1, len(noise)), (len(noise), 1))
    raws = [pb.RawImage(width=width, height=height, channels=1, data=noise) for width, height in shapes]
    return target.send_all(2, [finest(target, raw) for raw in raws])


def small_request_large_answer() -> pb.SegmentRequest:
    """A PNG of a kilobyte, and counts near its number of pixels: the answer has 40 MB."""
    side = 640
    return everything(png_of_bit_noise(side, side), *range(side * side, side * side - TARGETS, -1))


def cached_answers(target: Target) -> Facts:
    """Six callers get the same large answer from the cache."""
    message = small_request_large_answer().SerializeToString()
    sizes = set()
    with target.channel() as channel:
        method = channel.unary_unary(SEGMENT)
        sizes.add(len(method(message, metadata=target.metadata, timeout=60)))
    target.begin()
    outcomes = target.repeat(6, lambda channel, _: target.segment(channel, message))
    return {"outcomes": outcomes, "request_bytes": len(message), "answer_bytes": max(sizes)}


def deaf_caller(target: Target) -> Facts:
    """One connection asks for the same large answer five times per second and reads none."""
    message = small_request_large_answer().SerializeToString()
    with target.channel() as channel:
        target.segment(channel, message)  # now it is in the cache
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
