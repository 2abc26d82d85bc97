"""Messages that are small on the wire and large in memory are rejected before they are parsed."""

import gzip
import struct

import grpc
import pytest
from google.protobuf.internal.encoder import _VarintBytes
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from superpixel_service.contract import SERVICE
from superpixel_service.errors import InvalidRequest
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.transport.message_limits import MAX_ELEMENTS, check_structure
from tests.service.harness import (
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, scene

MEBIBYTE = 1 << 20
PNG = encoded(scene())


@pytest.fixture(scope="module")
def server() -> RunningServer:
    with running_server() as server:
        yield server


def check(data: bytes, message: type = pb.SegmentRequest) -> str:
    """The reason of the rejection; empty: the message passes."""
    try:
        check_structure(data, message.DESCRIPTOR)
    except InvalidRequest as error:
        return error.reason.value
    return ""


def packed(number: int, entries: bytes) -> bytes:
    return _VarintBytes(number << 3 | 2) + _VarintBytes(len(entries)) + entries


def test_honest_messages_pass() -> None:
    for targets in ([], [1], [2**32 - 1] * 32, [5] * 200):
        message = pb.SegmentRequest(
            encoded_image=bytes(MEBIBYTE), target_counts=targets, target_areas=[2.5] * 32
        )
        assert check(message.SerializeToString()) == ""
    assert (
        check(pb.SegmentRequest(raw_image=pb.RawImage(width=3, data=bytes(100_000))).SerializeToString())
        == ""
    )


@pytest.mark.parametrize("number", [3, 4])
def test_long_lists_are_rejected_packed_or_not(number: int) -> None:
    one = b"\x05" if number == 3 else struct.pack("<d", 5.0)
    assert check(packed(number, one * MAX_ELEMENTS)) == "TARGETS_TOO_MANY"
    single = _VarintBytes(number << 3 | (0 if number == 3 else 1)) + one
    assert check(single * (MAX_ELEMENTS + 1)) == "TARGETS_TOO_MANY"
    assert check(single * 100) == ""


@pytest.mark.parametrize(
    "data",
    [
        packed(99, b"") * (MAX_ELEMENTS + 1),  # fields of a newer contract
        packed(9, b"\x08\x01" * (MAX_ELEMENTS + 1)),  # within the region of interest
        packed(2, b"") * (MAX_ELEMENTS + 1),  # one image after the other
    ],
)
def test_many_fields_are_rejected(data: bytes) -> None:
    assert check(data) == "MALFORMED_MESSAGE"


def test_the_request_within_a_stream_is_checked() -> None:
    inner = packed(3, b"\x05" * MAX_ELEMENTS)
    number = pb.SegmentStreamRequest.DESCRIPTOR.fields_by_name["request"].number
    assert check(packed(number, inner), pb.SegmentStreamRequest) == "TARGETS_TOO_MANY"


@pytest.mark.parametrize(
    "data", [b"\xff" * 30, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 9, b"\x08", packed(3, b"\x05")[:-1]]
)
def test_malformed_bytes_are_left_to_the_parser(data: bytes) -> None:
    assert check(data) == ""


def test_a_server_names_the_list_that_is_too_long(server: RunningServer) -> None:
    before = server.resident_bytes()
    method = server.channel.unary_unary(f"/{SERVICE}/Segment")
    for _ in range(4):
        refusal = refused(lambda: method(packed(3, b"\x05" * (30 * MEBIBYTE)), timeout=PATIENCE_SECONDS))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TARGETS_TOO_MANY")
        assert set(refusal.fields) == {"target_counts"}
    # 30 million Python integers would take a gigabyte.
    assert server.resident_bytes() - before < 250 * MEBIBYTE


@pytest.mark.parametrize("name", ["info", "health", "watch", "reflection"])
def test_messages_without_an_image_are_small(server: RunningServer, name: str) -> None:
    method, data = {
        "info": (f"/{SERVICE}/GetServerInfo", packed(99, bytes(70_000))),
        "health": ("/grpc.health.v1.Health/Check", packed(1, b"a" * 70_000)),
        "watch": ("/grpc.health.v1.Health/Watch", packed(1, b"a" * 70_000)),
        "reflection": (
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest(file_by_filename="a" * 70_000).SerializeToString(),
        ),
    }[name]
    call = server.channel.stream_stream(method)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([data]), timeout=PATIENCE_SECONDS))
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "65536 bytes" in refusal.text


@pytest.mark.parametrize("port", ["listen", pytest.param("health", marks=pytest.mark.slow)])
def test_compressed_messages_are_not_expanded(server: RunningServer, port: str) -> None:
    before = server.resident_bytes()
    with grpc.insecure_channel(getattr(server, port), compression=grpc.Compression.Gzip) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="a" * (60 * MEBIBYTE)), timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(gzip.compress(b"a" * (60 * MEBIBYTE), 1)) < MEBIBYTE  # so little was sent
    assert server.resident_bytes() - before < 32 * MEBIBYTE
    assert server.health_status() == "SERVING"


def test_a_client_without_compression_is_served(server: RunningServer) -> None:
    assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
