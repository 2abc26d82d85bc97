"""Messages and metadata made to do harm, sent to a real server with little memory."""

import grpc
import h2.config
import h2.connection
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.fuzz_service import answers_to
from tests.service.harness import (
    MEBIBYTE,
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, scene
from tests.service.test_refusals import check_form

PIXELS = scene(64, 48)
PNG = encoded(PIXELS)


# ---- messages ----------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def nested(depth: int, field: int = 1000) -> bytes:
    """A message in a message in a message, all in an unknown field."""
    data = b""
    for _ in range(depth):
        data = varint(field << 3 | 2) + varint(len(data)) + data
    return data


GROUP = varint(1000 << 3 | 3)
GROUP_END = varint(1000 << 3 | 4)
VALID = request(PNG, 5).SerializeToString()

MESSAGES: dict[str, tuple[bytes, bool]] = {
    "unknown fields, 2,000 deep": (VALID + nested(2000), True),
    "a million unknown fields": (VALID + (varint(1000 << 3) + b"\1") * 1_000_000, False),
    "groups, 50 deep": (VALID + GROUP * 50 + GROUP_END * 50, True),
    "groups, 100,000 deep": (VALID + GROUP * 100_000 + GROUP_END * 100_000, False),
    "a group without end": (VALID + GROUP, False),
    "a million times the same count": (VALID + b"".join([b"\x18\x05"] * 1_000_000), True),
    "a length beyond the end": (VALID + b"\x0a" + varint(2**31 - 1), False),
    "a varint without end": (b"\xff" * 100, False),
    "field number 0": (b"\x00\x00", False),
    "half a message": (VALID[: len(VALID) // 2], False),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_harmful_messages_are_served_or_rejected(confined: RunningServer, name: str) -> None:
    data, parses = MESSAGES[name]
    segment = confined.channel.unary_unary(f"/{SERVICE}/Segment")
    try:
        answer = pb.SegmentResponse.FromString(segment(data))
    except grpc.RpcError:
        refusal = refused(lambda: segment(data))
        check_form(refusal)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.reason == "MALFORMED_MESSAGE") is not parses
    else:
        assert parses
        assert answer.label_map.count == 5


FLOODS: dict[str, list[tuple[str, str | bytes]]] = {
    "one of 100 kB": [("x-flood", "a" * 100_000)],
    "thousands": [(f"x-flood-{index}", "a") for index in range(5000)],
    "binary": [("x-flood-bin", bytes(20_000))],
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_of_metadata_are_rejected(confined: RunningServer, name: str) -> None:
    """gRPC itself rejects them, so there are no details."""
    with pytest.raises(grpc.RpcError) as caught:
        confined.stub.Segment(request(PNG, 5), metadata=FLOODS[name], timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert confined.stub.Segment(request(PNG, 5)).label_map.count == 5


def test_a_message_that_unpacks_to_a_hundred_megabytes_is_rejected(confined: RunningServer) -> None:
    """gRPC itself does that, and does not unpack the message: the server accepts no compression."""
    before = confined.peak_resident_bytes()
    with pytest.raises(grpc.RpcError) as caught:
        confined.stub.Segment(request(bytes(100 * MEBIBYTE), 5), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert confined.peak_resident_bytes() - before < 32 * MEBIBYTE


NUMBERS = st.one_of(st.integers(0, 70), st.integers(0, 2**32 - 1))
DOUBLES = st.one_of(st.floats(0, 50), st.floats(allow_nan=True, allow_infinity=True))
RAW = st.builds(
    lambda width, height, channels, more: pb.RawImage(
        width=width,
        height=height,
        channels=channels,
        data=bytes(max(0, min(6000, width * height * 3) + more)),
    ),
    st.one_of(st.integers(1, 40), NUMBERS),
    st.one_of(st.integers(1, 40), NUMBERS),
    st.sampled_from([3, 3, 3, 1, 4, 0, 2, 2**32 - 1]),
    st.sampled_from([0, 0, 0, 1, -1]),
)
REGIONS = st.builds(pb.Rectangle, x=NUMBERS, y=NUMBERS, width=NUMBERS, height=NUMBERS)
REQUESTS = st.builds(
    lambda source, fields: pb.SegmentRequest(**source, **fields),
    st.one_of(st.builds(lambda raw: {"raw_image": raw}, RAW), st.just({"encoded_image": PNG}), st.just({})),
    st.fixed_dictionaries(
        {"target_counts": st.lists(NUMBERS, max_size=4)},
        optional={
            "target_areas": st.lists(DOUBLES, max_size=3),
            "compactness": DOUBLES,
            "label_encoding": st.integers(0, 5),
            "priority": st.integers(0, 4),
            "include_hierarchy": st.booleans(),
            "include_regions": st.booleans(),
            "region_of_interest": REGIONS,
            "apply_exif_orientation": st.booleans(),
            "first_frame_only": st.booleans(),
        },
    ),
)
METADATA = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["x-request-id", "traceparent", "tracestate", "authorization", "user-agent"]),
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60),
        ),
        st.tuples(st.sampled_from(["x-request-id-bin", "grpc-tags-bin"]), st.binary(max_size=60)),
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=REQUESTS, metadata=METADATA)
def test_random_fields_and_metadata_are_served_or_rejected(
    confined: RunningServer, message: pb.SegmentRequest, metadata: list[tuple[str, str | bytes]]
) -> None:
    try:
        answer = confined.stub.Segment(message, metadata=metadata, timeout=PATIENCE_SECONDS)
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        check_form(refusal)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    else:
        counts = [level.count for level in answer.levels]
        assert set(message.target_counts) <= set(counts)
        assert answer.label_map.count == max(counts, default=answer.label_map.count)


def test_metadata_that_is_not_text_logs_no_error() -> None:
    with running_server() as server:
        channel = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        channel.initiate_connection()
        head = {b":method": b"POST", b":scheme": b"http", b":authority": b"a", b"te": b"trailers"}
        head |= {b":path": f"/{SERVICE}/GetServerInfo".encode(), b"content-type": b"application/grpc"}
        head |= {b"x-request-id": b"\xba\xf2\xff"}
        channel.send_headers(1, list(head.items()))
        channel.send_data(1, bytes(5), end_stream=True)
        assert "0" in answers_to(server, channel.data_to_send()).split()
        assert all(line["level"] == "info" for line in server.lines), server.lines
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
