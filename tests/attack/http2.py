"""Attacks on the connection: resets, compressed and large messages, headers, idle connections."""

import gzip
import resource
import time
from collections import Counter
from contextlib import suppress

import grpc
from google.protobuf.internal.encoder import _VarintBytes
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.contract import SEGMENT
from tests.attack.target import Facts, Target, outcome_of
from tests.attack.wire import (
    CONTINUATION,
    END_HEADERS,
    HEADERS,
    MAX_FRAME,
    PREFACE,
    RESET,
    SETTINGS,
    Connection,
    frame,
    header_block,
)
from tests.service.harness import MEBIBYTE
from tests.service.http2 import connect

RESETS_PER_SECOND = 3_000
IDLE_CONNECTIONS = 1_000
HEADER_BYTES_PER_SECOND = 50e6
_CANCEL = b"\0\0\0\x08"


def reset_flood(target: Target) -> Facts:
    """3,000 calls per second on one connection without a token, each reset at once."""
    connection, connections, sent = Connection(target.server), 1, 0
    block = header_block(SEGMENT)
    target.begin()
    start = time.monotonic()
    while target.goes_on():
        if connection.ended:
            connection, connections = Connection(target.server), connections + 1
        batch = b""
        for _ in range(max(0, int((time.monotonic() - start) * RESETS_PER_SECOND) - sent)):
            stream = connection.stream()
            batch += frame(HEADERS, END_HEADERS, stream, block) + frame(RESET, 0, stream, _CANCEL)
            sent += 1
        connection.send(batch)
        target.wait(0.01)
    connection.close()
    return {"resets": sent, "connections": connections}


def gzip_bombs(target: Target) -> Facts:
    """Four callers send 32 kB of gzip that expand to 32 MiB of counts."""
    counts = bytes(32 * MEBIBYTE - 100)
    message = gzip.compress(b"\x1a" + _VarintBytes(len(counts)) + counts)
    encoding = [("grpc-encoding", "gzip"), *target.metadata]
    outcomes: Counter[str] = Counter()
    target.begin()
    while target.goes_on():
        connections = [Connection(target.server) for _ in range(4)]
        for connection in connections:
            connection.call(SEGMENT, message, encoding, compressed=True)
        while target.goes_on() and not all(each.trailers or each.ended for each in connections):
            target.wait(0.01)
        for connection in connections:
            outcomes.update(f"status {status}" for status in connection.trailers)
            connection.close()
    return {"outcomes": outcomes, "message_bytes": len(message)}


def large_health_messages(target: Target) -> Facts:
    """Four callers without a token send health checks of 30 MB to the main port."""
    message = health_pb2.HealthCheckRequest(service="a" * 30_000_000)

    def check(channel: grpc.Channel, _number: int) -> str:
        return outcome_of(lambda: health_pb2_grpc.HealthStub(channel).Check(message, timeout=30))

    target.begin()
    return {"outcomes": target.repeat(4, check)}


def header_flood(target: Target) -> Facts:
    """Calls with 60 kB of headers, and a header block that never ends, 50 MB per second without a token."""
    block = header_block(SEGMENT, [(f"x-{number}", "a" * 1000) for number in range(60)])
    pieces = [block[start : start + MAX_FRAME] for start in range(0, len(block), MAX_FRAME)]

    def call(stream: int) -> bytes:
        last = len(pieces) - 1
        return b"".join(
            frame(CONTINUATION if at else HEADERS, END_HEADERS if at == last else 0, stream, piece)
            for at, piece in enumerate(pieces)
        )

    connections, sent, endless = 0, 0, 0
    calls = endless_one = None
    target.begin()
    start = time.monotonic()
    while target.goes_on():
        if calls is None or calls.ended:
            calls, connections = Connection(target.server), connections + 1
        if endless_one is None or endless_one.ended:
            endless_one, connections = Connection(target.server), connections + 1
            endless = endless_one.stream()
            endless_one.send(frame(HEADERS, 0, endless, pieces[0]))
        for connection, out in (
            (calls, call(calls.stream())),
            (endless_one, frame(CONTINUATION, 0, endless, pieces[0]) * 4),
        ):
            connection.send(out)
            sent += len(out)
        target.wait(start + sent / HEADER_BYTES_PER_SECOND - time.monotonic())
    return {"connections": connections, "header_bytes": sent}


def idle_connections(target: Target) -> Facts:
    """1,000 connections that only say hello."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    target.begin()
    connections = []
    with suppress(OSError):
        while target.goes_on() and len(connections) < IDLE_CONNECTIONS:
            connections.append(connect(target.server))
            connections[-1].sendall(PREFACE + frame(SETTINGS, 0, 0))
    opened = len(connections)
    target.wait(target.seconds)
    for connection in connections:
        connection.close()
    return {"connections": opened}
