"""Attacks of callers with a token of their own who ask for more than their share."""

from collections import Counter

import grpc
import numpy as np

from superpixel_service.contract import AUTHORIZATION_KEY, SEGMENT_STREAM
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.attack.answers import everything
from tests.attack.files import png_of_empty_blocks
from tests.attack.target import Facts, Target, outcome_of
from tests.attack.wire import END_HEADERS, HEADERS, Connection, frame, header_block
from tests.service.harness import request
from tests.service.images import encoded, scene
from tests.service.webp_bombs import code_table_bomb

CALLERS = 40
SIDE = 700


def refined_noise(target: Target) -> Facts:
    """40 callers with noise of half a megapixel and counts above its base count, all images new."""
    noise = bytearray(np.random.default_rng(0).integers(0, 256, SIDE * SIDE, np.uint8).tobytes())

    def call(channel: grpc.Channel, number: int) -> str:
        image = number.to_bytes(8) + noise[8:]
        raw = pb.RawImage(width=SIDE, height=SIDE, channels=1, data=bytes(image))
        return target.segment(channel, everything(raw, SIDE * SIDE - 1).SerializeToString())

    target.begin()
    return {"outcomes": target.repeat(CALLERS, call)}


def slow_files(target: Target) -> Facts:
    """Files that take far longer than their pixels suggest: they spoil the server's estimate of its speed."""
    files = [png_of_empty_blocks(2000, 1500), code_table_bomb(1000, 1000)]
    return target.send_all(6, [request(file, 5) for file in files])


def idle_streams(target: Target) -> Facts:
    """One token leaves streams idle, 16 more each time. A probe with the victim's token opens one."""
    probe = pb.SegmentStreamRequest(request_id="probe", request=request(encoded(scene()), 5))
    victim = [(AUTHORIZATION_KEY, f"Bearer {target.victim_token}")]
    head = header_block(SEGMENT_STREAM, target.metadata)
    probes: Counter[str] = Counter()
    connection = Connection(target.server)
    with target.channel() as channel:
        stub = pb_grpc.SuperpixelServiceStub(channel)
        target.begin()
        while target.goes_on():
            if connection.ended:
                connection = Connection(target.server)
            for _ in range(16):
                connection.send(frame(HEADERS, END_HEADERS, connection.stream(), head))
            target.wait(0.2)
            answers = stub.SegmentStream(iter([probe]), metadata=victim, timeout=5)
            probes[outcome_of(lambda: next(answers))] += 1  # noqa: B023 (called at once)
            target.wait(0.3)
    connection.close()
    return {"probes": probes, "refused_streams": sum(connection.trailers.values())}
