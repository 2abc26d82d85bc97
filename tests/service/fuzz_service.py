"""Fuzzing of a real server: image files, protobuf messages, metadata, odd HTTP/2, and bytes that are not
HTTP/2.

`python -m tests.service.fuzz_service --seconds 600 --seed 1`: the server runs under a memory limit; every
code must be one that the contract allows, no text may be a library's, and in the end the server must be
sound.
"""

import argparse
import contextlib
import gzip
import random
import re
import resource
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import h2.config
import h2.connection
import h2.exceptions
import h2.settings
import hpack
import hyperframe.frame
import numpy as np
from PIL import Image

from superpixel_kernels import segment
from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import PATIENCE_SECONDS, RunningServer, request, running_server
from tests.service.images import encoded, saved, scene
from tests.service.test_refusals import LEAKS

MEMORY_LIMIT_BYTES = 3 << 30
"""Of addresses; a thread's stack and allocator take more of these than of memory."""

_MOST_RESIDENT_BYTES = 512 << 20
_ALLOWED = {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}
"""The last one is for requests that name a version."""

_ALLOWED_BY_HAND = {
    code.value[0]
    for code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
}
"""Odd calls may also be late by their own word, too large, or of a method or encoding that nobody serves."""

_OF_GRPC_ITSELF = re.compile(
    r"(Compression bit set but no encoding|Decompression failed|Failed parsing HTTP/2|Too many pings"
    r"|Error parsing '[:a-z-]+' metadata(: illegal base64 encoding)?$|Illegal header (key|value)\b)"
)
"""What the library says of frames, as its protocol wants it, before any call is made of them."""

_BYTES_THAT_MATTER = (0, 1, 0x7F, 0x80, 0xC0, 0xC2, 0xDA, 0xD9, 0xE1, 0xFE, 0xFF)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_PIXELS = scene(48, 40)
_FRAMES = [Image.fromarray(scene(32, 32, seed)) for seed in range(3)]
_EXIF = Image.Exif()
_EXIF[0x0112] = 6
FILES = [
    encoded(_PIXELS),
    saved(Image.fromarray(_PIXELS).quantize(8)),
    encoded(np.arange(48 * 40, dtype=np.uint16).reshape(40, 48)),
    saved(_FRAMES[0], "PNG", save_all=True, append_images=_FRAMES[1:]),
    encoded(_PIXELS, exif=_EXIF.tobytes(), icc_profile=bytes(300)),
    encoded(_PIXELS, "JPEG"),
    encoded(_PIXELS, "JPEG", progressive=True, exif=_EXIF.tobytes(), icc_profile=bytes(300)),
    saved(Image.fromarray(_PIXELS).convert("CMYK"), "JPEG"),
    encoded(_PIXELS, "WEBP"),
    encoded(_PIXELS, "WEBP", lossless=True, exif=_EXIF.tobytes()),
    saved(_FRAMES[0], "WEBP", save_all=True, append_images=_FRAMES[1:]),
]


_GRAY = np.arange(48 * 40, dtype=np.uint16).reshape(40, 48)
_LABELS = [encoded(_GRAY.astype(np.uint8)), encoded(_GRAY), encoded(_PIXELS), saved(_FRAMES[0].quantize(8))]
_SPX = segment(_PIXELS).encode(5, include_hierarchy=True)


def mutated(chance: random.Random, data: bytes) -> bytes:
    """A few changes: bytes, numbers, pieces left out, doubled, moved; or its end cut off."""
    out = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 4, 8))):
        if not out:
            break
        # Headers lie in front; half of the changes are there.
        place = chance.randrange(min(len(out), chance.choice((64, len(out)))))
        length = chance.randrange(1, 40)
        change = chance.randrange(7)
        if change == 0:
            out[place] = chance.randrange(256)
        elif change == 1:
            out[place] = chance.choice(_BYTES_THAT_MATTER)
        elif change == 2:
            number = chance.choice((0, 1, 0xFFFF, 2**31, 2**32 - 1))
            out[place : place + 4] = struct.pack(chance.choice("<>") + "I", number)
        elif change == 3:
            del out[place : place + length]
        elif change == 4:
            out[place:place] = out[place : place + length] * chance.choice((1, 2, 50))
        elif change == 5:
            out[place:place] = chance.randbytes(length)
        else:
            del out[place:]
    return bytes(out)


def an_image(chance: random.Random) -> pb.SegmentRequest:
    message = request(mutated(chance, chance.choice(FILES)), chance.choice((1, 5, 100)))
    message.first_frame_only = chance.random() < 0.5
    message.include_regions = chance.random() < 0.2
    message.label_encoding = chance.choice((0, 1, 2, 3))
    if chance.random() < 0.2:
        x, y, height = chance.randrange(40), chance.randrange(40), chance.choice((0, 9))
        message.region_of_interest.CopyFrom(pb.Rectangle(x=x, y=y, width=9, height=height))
    if chance.random() < 0.25:
        message.guidance.CopyFrom(some_guidance(chance))
        # Sound images, so that the maps are reached.
        message.encoded_image = chance.choice(FILES[:3])
    return message


def some_guidance(chance: random.Random) -> pb.Guidance:
    """A prior map in any form, and sometimes the other maps, mutated."""
    guidance = pb.Guidance(prior_mode=chance.choice((0, 1, 2, 2, 3)))
    prior, kind = guidance.prior, chance.randrange(5)
    if kind <= 1:
        prior.png = mutated(chance, chance.choice(_LABELS))
    elif kind == 2:
        side, bits = chance.choice((0, 1, 16, 2**32 - 1)), chance.choice((8, 16, 32))
        data = chance.randbytes(chance.choice((16 * 16 * bits // 8, 1)))
        prior.raw.CopyFrom(pb.RawMap(width=side, height=16, bits=bits, data=data))
    elif kind == 3:
        level = pb.LabelMapLevel(spx=mutated(chance, _SPX), count=chance.choice((0, 3, 5, 6)))
        prior.label_map.CopyFrom(level)
    else:
        prior.masks.width, prior.masks.height = chance.choice(((4, 3), (3, 4), (2**16, 2**16), (1, 12)))
        for _ in range(chance.randrange(5)):
            if chance.random() < 0.5:
                prior.masks.masks.add(compressed=mutated(chance, chance.choice((b"525", b"0<", b"31203"))))
            else:
                prior.masks.masks.add(uncompressed=mutated(chance, struct.pack("<3I", 5, 2, 5)))
    if chance.random() < 0.3:
        guidance.edges.png = mutated(chance, _LABELS[0])
    if chance.random() < 0.3:
        guidance.importance.raw.CopyFrom(pb.RawMap(width=8, height=8, bits=8, data=chance.randbytes(64)))
    return guidance


def a_message(chance: random.Random) -> bytes:
    """Mostly not of our type."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(200))
    raw = pb.RawImage(width=8, height=8, channels=3, data=bytes(192))
    message = request(raw, 5, compactness=7.0, target_areas=[9.0], include_hierarchy=True)
    return mutated(chance, message.SerializeToString())


def some_metadata(chance: random.Random) -> list[tuple[str, str | bytes]]:
    keys = ("x-request-id", "traceparent", "tracestate", "authorization", "x-y-bin", "grpc-tags-bin")
    found: list[tuple[str, str | bytes]] = []
    for _ in range(chance.randrange(6)):
        key, length = chance.choice(keys), chance.choice((0, 1, 55, 500))
        text = "".join(chr(chance.randrange(0x20, 0x7F)) for _ in range(length))
        found.append((key, chance.randbytes(length) if key.endswith("-bin") else text))
    return found


def not_http2(chance: random.Random) -> bytes:
    """Frames of any kind, or anything."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(500))
    out = _PREFACE
    for _ in range(chance.randrange(1, 60)):
        payload = chance.randbytes(chance.choice((0, 4, 5, 8, 8, 60)))
        length = len(payload) if chance.random() < 0.95 else chance.randrange(1 << 24)
        kind, flags = (
            chance.choice((0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 200)),
            chance.choice((0, 0, 1, 4, 5, 255)),
        )
        stream = chance.choice((0, 0, 1, 3, 5, 2, 2**31 - 1))
        out += struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
    return out


def a_call_by_hand(chance: random.Random) -> bytes:
    """HTTP/2 that is sound up to a point: calls whose heads, messages and frames are odd, or mutated."""
    config = h2.config.H2Configuration(
        header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    http2 = h2.connection.H2Connection(config)
    http2.initiate_connection()
    for index in range(chance.randrange(1, 5)):
        stream = 1 + 2 * index
        # What h2 itself refuses to say next is left out.
        with contextlib.suppress(h2.exceptions.ProtocolError, ValueError):
            http2.send_headers(stream, a_head(chance), end_stream=chance.random() < 0.1)
            for _ in range(chance.randrange(4)):
                a_frame(chance, http2, stream)
            data = a_framed_message(chance)
            piece = chance.choice((1, 50, 16_000)) if len(data) < 5000 else 16_000
            for start in range(0, len(data), piece):
                http2.send_data(stream, data[start : start + piece])
            if chance.random() < 0.8:
                http2.end_stream(stream)
            a_frame(chance, http2, stream)
    out = http2.data_to_send()
    return mutated(chance, out) if chance.random() < 0.3 else out


def a_head(chance: random.Random) -> list[tuple[str, str]]:
    """A call's, sound but for some of its lines."""
    head = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{SERVICE}/{chance.choice(('Segment', 'SegmentStream', 'GetServerInfo'))}",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    odd = {
        ":method": ("GET", "PUT", ""),
        ":path": ("", "/", "*", f"/{SERVICE}/Nothing", "/" + "a" * 5000, "no slash"),
        ":scheme": ("https", "ftp"),
        "te": ("", "gzip"),
        "content-type": ("", "text/html", "application/grpc+json", "application/grpcx"),
        "grpc-timeout": ("1H", "0m", "-1S", "99999999999S", "1x", "", "9" * 40 + "n"),
        "grpc-encoding": ("gzip", "deflate", "identity", "nothing"),
        "grpc-accept-encoding": ("gzip", "nothing"),
        "content-length": ("0", "-1", "99999999999999999999"),
        "grpc-previous-rpc-attempts": ("1", "x", "4294967296"),
        "x-y-bin": ("AAAA", "not base64!", "A"),
        "x-request-id": ("\x7f", "a\tb", "a" * 9000),
        "UPPER": ("case",),
        "connection": ("close",),
    }
    for name in chance.sample(list(odd), chance.choice((0, 0, 1, 1, 2, 3))):
        head[name] = chance.choice(odd[name])
    if chance.random() < 0.2:
        head["grpc-encoding"] = "gzip"
    lines = list(head.items())
    if chance.random() < 0.1:
        chance.shuffle(lines)
    if chance.random() < 0.1:
        lines.append(chance.choice(lines))
    if chance.random() < 0.1:
        lines.remove(chance.choice(lines))
    return lines


def a_framed_message(chance: random.Random) -> bytes:
    """gRPC's five bytes and a message, or something near to that."""
    message = a_message(chance) if chance.random() < 0.5 else an_image(chance).SerializeToString()
    packed = int(chance.random() < 0.2)
    length = len(message) if chance.random() < 0.8 else chance.choice((0, 1, len(message) + 1, 2**32 - 1))
    if packed and chance.random() < 0.7:
        message = gzip.compress(message if chance.random() < 0.5 else bytes(8 << 20))
        length = len(message)
    return bytes([packed if chance.random() < 0.95 else 255]) + struct.pack(">I", length) + message


def a_frame(chance: random.Random, http2: h2.connection.H2Connection, stream: int) -> None:
    """One that may come at any time, often where it does not belong."""
    kind = chance.randrange(7)
    if kind == 0:
        http2.ping(chance.randbytes(8))
    elif kind == 1:
        settings = h2.settings.SettingCodes
        http2.update_settings(
            {
                settings.INITIAL_WINDOW_SIZE: chance.choice((0, 1, 2**31 - 1)),
                settings.MAX_FRAME_SIZE: chance.choice((16_384, 2**24 - 1)),
                settings.HEADER_TABLE_SIZE: chance.choice((0, 2**20)),
            }
        )
    elif kind == 2:
        http2.increment_flow_control_window(chance.choice((1, 2**30)), chance.choice((None, stream)))
    elif kind == 3:
        http2.prioritize(stream, depends_on=chance.choice((0, stream + 2)))
    elif kind == 4 and chance.random() < 0.3:
        http2.reset_stream(stream, chance.choice((0, 2, 8, 99)))
    elif kind == 5 and chance.random() < 0.2:
        http2.close_connection(chance.choice((0, 1, 11)))
    # Else: none.


def answers_to(server: RunningServer, data: bytes) -> str:
    """Send the bytes; what the server said of calls, if anything.

    Raises:
        AssertionError: a call ended with a code, or in words, that must not be.
    """
    host, port = server.listen.split(":")
    answer = bytearray()
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(data)
        connection.settimeout(0.05)
        while piece := connection.recv(1 << 16):
            answer += piece
    codes = set()
    for lines in heads_in(bytes(answer)):
        if "grpc-status" in lines:
            code, said = lines["grpc-status"], lines.get("grpc-message", "")
            allowed = int(code) in _ALLOWED_BY_HAND and not LEAKS.search(said)
            if not (allowed or _OF_GRPC_ITSELF.match(said)):
                raise AssertionError(f"{code}: {said}")
            codes.add(code)
    return "HTTP2" + "".join(f" {code}" for code in sorted(codes))


def heads_in(data: bytes) -> Iterator[dict[str, str]]:
    """The headers and trailers among a server's frames, whatever calls they belong to."""
    decoder = hpack.Decoder()
    while len(data) >= 9:
        frame, length = hyperframe.frame.Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        if isinstance(frame, hyperframe.frame.HeadersFrame):
            yield dict(decoder.decode(frame.data))  # gRPC's own fit in a frame
        data = data[9 + length :]


def one(server: RunningServer, chance: random.Random) -> str:
    """One attempt; what came of it."""
    kind = chance.randrange(12)
    if kind >= 10:
        return answers_to(server, a_call_by_hand(chance))
    if kind == 0:
        host, port = server.listen.split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(not_http2(chance))
            connection.settimeout(0.01)
            connection.recv(1 << 16)
        return "HTTP2"
    try:
        if kind == 1:
            server.channel.unary_unary(f"/{SERVICE}/{chance.choice(('Segment', 'GetServerInfo'))}")(
                a_message(chance), timeout=PATIENCE_SECONDS
            )
        elif kind == 2:
            stream = server.channel.stream_stream(f"/{SERVICE}/SegmentStream")
            messages = [
                pb.SegmentStreamRequest(request_id=str(index), request=an_image(chance))
                for index in range(chance.randrange(4))
            ]
            frames = [mutated(chance, message.SerializeToString()) for message in messages]
            for answer in stream(iter(frames), timeout=PATIENCE_SECONDS):
                error = pb.SegmentStreamResponse.FromString(answer).error
                if error.code not in (0, *(grpc.StatusCode[name].value[0] for name in _ALLOWED)):
                    raise AssertionError(error)
                if LEAKS.search(error.message):
                    raise AssertionError(error)
        else:
            server.stub.Segment(an_image(chance), timeout=PATIENCE_SECONDS, metadata=some_metadata(chance))
    except grpc.RpcError as error:
        name, text = error.code().name, error.details() or ""
        if name not in _ALLOWED or LEAKS.search(text):
            raise AssertionError(f"{name}: {text}") from None
        return name
    return "OK"


def fuzz(count: int, seed: int, seconds: float = float("inf")) -> Counter[str]:
    """So many attempts, or as many as fit in the time; how often each outcome came.

    Raises:
        AssertionError: an outcome that must not be, or a server that is not sound at the end.
    """
    tally: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with running_server("--max-image-bytes=1000000", "--max-image-pixels=1000000") as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        for attempt in range(count):
            if time.monotonic() > end:
                break
            # Each attempt by a seed of its own, so that a bad one can be made again alone.
            try:
                tally[one(server, random.Random(f"{seed}/{attempt}"))] += 1
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, attempt {attempt}: {error}") from error
        assert server.stub.Segment(request(FILES[0], 5)).label_map.count == 5
        for address in (server.health, server.listen):
            assert server.health_status(address=address) == "SERVING"
        assert server.metric("superpixel_inflight_bytes") == 0
        assert server.peak_resident_bytes() < _MOST_RESIDENT_BYTES, server.peak_resident_bytes()
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
        bad = [line for line in server.lines if line["level"] in {"error", "critical"}]
        assert not bad, bad
        tally["peak MiB"] = server.peak_resident_bytes() >> 20
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    print(dict(fuzz(1 << 40, arguments.seed, arguments.seconds)))


if __name__ == "__main__":
    main()
