"""Both clients: what they send, what they make of answers and refusals, and when they try again."""

import asyncio
import io
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels.errors import InvalidParameter
from superpixel_service import __version__
from superpixel_service.client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    MessageTooLarge,
    NotAllowed,
    NotServed,
    Overloaded,
    RetryPolicy,
    SegmentError,
    ServerError,
    Unavailable,
    wire,
)
from superpixel_service.client.errors import from_call, from_status
from superpixel_service.contract import Reason
from superpixel_service.errors import CallCancelled, Draining, OutOfMemory, ServiceError
from superpixel_service.errors import InternalError as ServerInternalError
from superpixel_service.errors import InvalidRequest as ServerInvalidRequest
from superpixel_service.errors import Overloaded as ServerOverloaded
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server
from tests.service.images import Pixels, encoded, scene, slow_image
from tests.service.scripted import (
    COUNT,
    Caller,
    Scripted,
    ScriptedStream,
    UnaryScript,
    image,
    refuse,
    serving,
)

ROOT = Path(__file__).parents[2]
PIXELS = scene(seed=4)
LARGE = scene(40, 30, seed=5)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def in_process(pixels: Pixels, count: int, **params: Any) -> np.ndarray:
    return kernels.segment(pixels, kernels.SegmentParams(**params)).cut(count)


# ---- answers, from the real server -----------------------------------------------------------------------


def written(path: Path) -> Path:
    path.write_bytes(encoded(PIXELS))
    return path


GRAY = PIXELS[:, :, 0].copy()
SEE_THROUGH = np.dstack([PIXELS, GRAY])
KINDS: dict[str, tuple[Callable[[Path], Any], Pixels]] = {
    "path": (lambda folder: written(folder / "photo.png"), PIXELS),
    "text path": (lambda folder: str(written(folder / "photo.png")), PIXELS),
    "bytes": (lambda _: encoded(PIXELS), PIXELS),
    "bytearray": (lambda _: bytearray(encoded(PIXELS)), PIXELS),
    "memoryview": (lambda _: memoryview(encoded(PIXELS)), PIXELS),
    "Pillow RGB": (lambda _: Image.fromarray(PIXELS), PIXELS),
    "Pillow L": (lambda _: Image.fromarray(GRAY), GRAY),
    "Pillow RGBA": (lambda _: Image.fromarray(SEE_THROUGH), SEE_THROUGH),
    "Pillow file": (lambda folder: Image.open(written(folder / "photo.png")), PIXELS),
    "array": (lambda _: PIXELS, PIXELS),
    "array gray": (lambda _: GRAY, GRAY),
    "array (H, W, 1)": (lambda _: GRAY[:, :, None], GRAY),
    "array RGBA": (lambda _: SEE_THROUGH, SEE_THROUGH),
    "array in other strides": (lambda _: PIXELS[::-1, ::-1], PIXELS[::-1, ::-1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image(server: RunningServer, caller: Caller, tmp_path: Path, kind: str) -> None:
    make, pixels = KINDS[kind]
    result = caller.segment(server.listen, make(tmp_path), counts=[300, 50])
    assert np.array_equal(result.labels, in_process(pixels, 300))


def test_an_answer_offers_all_that_was_sent(server: RunningServer, caller: Caller) -> None:
    expected = kernels.segment(PIXELS)
    result = caller.segment(server.listen, PIXELS, counts=(100, 400, 25), request_id="an-id")
    assert (result.width, result.height) == (120, 90)
    assert (result.count, result.counts) == (400, (400, 100, 25))
    assert result.base_count == expected.base_count
    assert (result.backend, result.algorithm_version) == ("cpu", kernels.ALGORITHM_VERSION)
    assert result.request_id == "an-id"
    assert result.notices == ()
    assert result.timings.segment > 0
    assert result.spx == expected.encode(400, include_hierarchy=True)
    for count in (400, 137, 25, 1):
        assert np.array_equal(result.labels_at(count), expected.cut(count))
        assert np.array_equal(result.cut(count)[result.labels], expected.cut(count))
    assert result.tree is not None
    assert len(result.tree.into) == 399
    assert result.heights is not None
    assert result.regions is None
    assert repr(result) == f"<Segmentation 120x90, counts 400, 100, 25, {len(result.spx)} bytes>"
    with pytest.raises(InvalidParameter):
        result.labels_at(401)


def test_without_the_hierarchy_there_are_the_levels(server: RunningServer, caller: Caller) -> None:
    result = caller.segment(server.listen, PIXELS, counts=[60, 30], include_hierarchy=False)
    assert result.tree is None
    assert result.heights is None
    assert np.array_equal(result.labels_at(30), in_process(PIXELS, 30))
    with pytest.raises(InvalidParameter):
        result.labels_at(31)


def test_options_reach_the_server(server: RunningServer, caller: Caller) -> None:
    result = caller.segment(
        server.listen,
        PIXELS,
        counts=np.int64(40),
        areas=48.0,
        compactness=30.0,
        region_of_interest=(10, 20, 64, 48),
        priority="bulk",
    )
    part = PIXELS[20:68, 10:74].copy()
    assert result.counts == (64, 40)
    assert np.array_equal(result.labels, in_process(part, 64, compactness=30.0))


def test_orientation_is_that_of_the_file_unless_told_otherwise(server: RunningServer, caller: Caller) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PIXELS, "PNG", exif=exif)
    assert caller.segment(server.listen, data, counts=9).labels.shape == (120, 90)
    as_stored = caller.segment(server.listen, data, counts=9, apply_exif_orientation=False)
    assert np.array_equal(as_stored.labels, in_process(PIXELS, 9))


def test_16_bit_gray_is_scaled_by_the_server(server: RunningServer, caller: Caller) -> None:
    wide = GRAY.astype(np.uint16) * 4
    wide.flat[:2] = 0, 1020
    results = [caller.segment(server.listen, source, counts=80) for source in (wide, Image.fromarray(wide))]
    scaled = (wide // 4).astype(np.uint8)
    for result in results:
        assert [notice.code for notice in result.notices] == ["GRAY16_SCALED"]
        assert np.array_equal(result.labels, in_process(scaled, 80))


def test_what_a_server_says_about_itself(server: RunningServer) -> None:
    with Client(server.listen) as client:
        info = client.server_info()
        healthy = client.health()

    async def asynchronous() -> Any:
        async with AsyncClient(server.listen) as client:
            return await client.server_info(), await client.health()

    assert asyncio.run(asynchronous()) == (info, healthy) == (info, True)
    assert info.version == __version__
    assert info.algorithm_version == kernels.ALGORITHM_VERSION
    assert list(info.backends) == ["cpu"]
    assert (info.max_image_bytes, info.max_image_pixels) == (3_000_000, 4_000_000)
    assert (info.max_refinement_pixels, info.max_targets) == (20_000, 32)
    assert (info.compactness_range, info.compactness_default) == ((0.0, 100.0), 10.0)
    assert info.label_encodings[0] == "SPX"
    assert info.image_formats == ("JPEG", "PNG", "WEBP")


def test_a_refusal_tells_what_would_be_right(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment(server.listen, PIXELS, counts=[5, 10_801], request_id="find-me")
    error = caught.value
    assert (error.code, error.reason, error.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "COUNT_OUT_OF_RANGE",
        "target_counts[1]",
    )
    assert error.message == "target_counts[1]: must be from 1 to the number of pixels, 10800"
    assert str(error) == f"INVALID_ARGUMENT (COUNT_OUT_OF_RANGE): {error.message}"
    assert error.request_id == "find-me"
    server.wait_for_line("call", request_id="find-me")


def test_metadata_of_a_refusal(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment(server.listen, bytes(3_000_001), counts=5)
    assert (caught.value.reason, caught.value.metadata) == (
        "IMAGE_TOO_MANY_BYTES",
        {"limit_bytes": "3000000"},
    )


def test_a_message_above_grpcs_own_limit_is_not_tried_again(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(MessageTooLarge):
        caller.segment(server.listen, bytes(8_000_000), counts=5)


# ---- what is refused before anything is sent --------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("/nowhere/photo.jpg", "cannot read /nowhere/photo.jpg: No such file"),
        (ROOT, "Is a directory"),
        (PIXELS.astype(float), "of float64"),
        (PIXELS[:0], "not empty"),
        (np.dstack([PIXELS, PIXELS]), "(90, 120, 6)"),
        (Image.new("F", (3, 3)), "mode F"),
        (42, "is a int"),
    ],
)
def test_what_is_no_image_is_not_sent(caller: Caller, source: Any, text: str) -> None:
    with serving(Scripted()) as server, pytest.raises(InvalidImage) as caught:
        caller.segment(server.address, source, counts=3)
    assert text in str(caught.value)
    assert (caught.value.field, caught.value.request_id, server.calls) == ("image", "", [])


@pytest.mark.parametrize(
    ("wanted", "reason", "field"),
    [
        ({"counts": [3, -1]}, "COUNT_OUT_OF_RANGE", "target_counts[1]"),
        ({"counts": 2**32}, "COUNT_OUT_OF_RANGE", "target_counts[0]"),
        ({"counts": 3, "region_of_interest": (0, 0, 5)}, "REGION_OUTSIDE_IMAGE", "region_of_interest"),
        ({"counts": 3, "region_of_interest": (0, -1, 5, 5)}, "REGION_OUTSIDE_IMAGE", "region_of_interest"),
        ({"counts": 3, "priority": "urgent"}, "ENUM_VALUE_UNKNOWN", "priority"),
    ],
)
def test_numbers_that_fit_no_field(caller: Caller, wanted: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment("127.0.0.1:1", PIXELS, **wanted)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_half_a_superpixel_is_a_mistake(caller: Caller) -> None:
    with pytest.raises(TypeError):
        caller.segment("127.0.0.1:1", PIXELS, counts=2.5)
    with pytest.raises(TypeError, match="number_of_superpixels"):
        caller.segment("127.0.0.1:1", PIXELS, number_of_superpixels=2)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 1e12])
def test_a_timeout_is_above_0(caller: Caller, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        caller.segment("127.0.0.1:1", PIXELS, counts=3, timeout=timeout)


def test_numbers_may_be_those_of_numpy() -> None:
    request = wire.build_request(
        PIXELS,
        counts=np.int64(3),
        areas=np.float32(2.5),
        compactness=np.float32(5),
        region_of_interest=GRAY[0, :4],
    )
    assert (list(request.target_counts), list(request.target_areas)) == ([3], [2.5])
    assert wire.build_request(PIXELS, areas=np.arange(1, 3)).target_areas == [1.0, 2.0]


@pytest.mark.parametrize("pushback", ["9" * 400, "9" * 5000])
def test_a_pushback_without_end_is_never_waited_for(pushback: str) -> None:
    trailers = [("grpc-retry-pushback-ms", pushback)]
    error = from_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailers, "")
    assert RetryPolicy().wait_seconds(error, 1, 1e9) is None


def test_small_images_go_as_pixels_and_large_ones_as_png(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wire.build_request(LARGE, counts=1).raw_image.data == LARGE.tobytes()
    monkeypatch.setattr(wire, "MAX_RAW_BYTES", LARGE.nbytes - 1)
    gray = LARGE[:, :, 1]
    assert wire.build_request(gray, counts=1).WhichOneof("source") == "raw_image"
    request = wire.build_request(Image.fromarray(LARGE), counts=1)
    assert request.encoded_image.startswith(b"\x89PNG")
    assert wire.image_bytes(request) == len(request.encoded_image)
    monkeypatch.setattr(wire, "MAX_RAW_BYTES", 0)
    for pixels in (LARGE, gray, gray[:, :, None], np.dstack([LARGE, gray])):
        sent = wire.build_request(pixels, counts=1).encoded_image
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), pixels.squeeze())


@pytest.mark.parametrize("mode", ["1", "P", "PA", "LA", "CMYK", "YCbCr", "HSV"])
def test_other_pillow_modes_become_the_nearest_that_is_served(mode: str) -> None:
    picture = Image.fromarray(LARGE).convert("RGB" if mode != "LA" else "L").convert(mode)
    raw = wire.build_request(picture, counts=1).raw_image
    to = {"1": "L", "PA": "RGBA", "LA": "RGBA"}.get(mode, "RGB")
    assert raw.data == picture.convert(to).tobytes()
    assert raw.channels == len(to)


# ---- trying again -----------------------------------------------------------------------------------------


def refuses(error: ServiceError) -> UnaryScript:
    return lambda context: refuse(context, error)


def full(seconds: float) -> ServiceError:
    error = ServerOverloaded(Reason.QUEUE_FULL, "no room")
    error.retry_seconds = seconds
    return error


def test_a_call_says_who_makes_it(caller: Caller) -> None:
    with serving(Scripted()) as server:
        caller.segment(server.address, image(0), counts=COUNT, request_id="mine")
    assert server.metadata[0]["x-request-id"] == "mine"
    assert str(server.metadata[0]["user-agent"]).startswith(f"superpixel-client/{__version__} ")


def test_pushback_is_waited_for(caller: Caller) -> None:
    with serving(Scripted(unary=[refuses(full(0.3)), refuses(full(0.2))])) as server:
        result = caller.segment(server.address, image(0), counts=COUNT, request_id="one-id")
    assert result.count == COUNT
    first, second, third = server.calls
    assert 0.3 <= second - first < 0.3 + 5
    assert 0.2 <= third - second < 0.2 + 5
    # All tries of a call have its id.
    assert {metadata["x-request-id"] for metadata in server.metadata} == {"one-id"}


@pytest.mark.parametrize("error", [Draining(), OutOfMemory(), full(0.0)], ids=lambda error: error.reason)
def test_what_the_contract_says_to_retry_is_retried(caller: Caller, error: ServiceError) -> None:
    with serving(Scripted(unary=[refuses(error)] * 3)) as server:
        assert caller.segment(server.address, image(0), counts=COUNT).count == COUNT
    assert len(server.calls) == 4


def plainly(code: grpc.StatusCode, *trailers: tuple[str, str]) -> UnaryScript:
    """Refused without details, as by something else on the way."""

    def script(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(trailers)
        context.abort(code, "plainly")

    return script


FINAL: dict[str, tuple[UnaryScript, type[SegmentError]]] = {
    "invalid argument": (
        refuses(ServerInvalidRequest(Reason.IMAGE_UNDECODABLE, "must be whole", field="encoded_image")),
        InvalidRequest,
    ),
    "a bug": (refuses(ServerInternalError("an-id-of-the-server")), ServerError),
    "too large for gRPC": (plainly(grpc.StatusCode.RESOURCE_EXHAUSTED), MessageTooLarge),
    "pushback that says no": (
        plainly(grpc.StatusCode.RESOURCE_EXHAUSTED, ("grpc-retry-pushback-ms", "-1")),
        MessageTooLarge,
    ),
    "no such method": (plainly(grpc.StatusCode.UNIMPLEMENTED), NotServed),
    "no token": (plainly(grpc.StatusCode.UNAUTHENTICATED), NotAllowed),
    "no right": (plainly(grpc.StatusCode.PERMISSION_DENIED), NotAllowed),
    "too late": (plainly(grpc.StatusCode.DEADLINE_EXCEEDED), DeadlineExceeded),
    "given up": (refuses(CallCancelled()), Cancelled),
    "unknown": (plainly(grpc.StatusCode.UNKNOWN), ServerError),
    "aborted": (plainly(grpc.StatusCode.ABORTED), ServerError),
}


@pytest.mark.parametrize("what", FINAL)
def test_what_the_contract_does_not_say_to_retry_is_not(caller: Caller, what: str) -> None:
    script, kind = FINAL[what]
    with serving(Scripted(unary=[script])) as server, pytest.raises(SegmentError) as caught:
        caller.segment(server.address, image(0), counts=COUNT)
    assert type(caught.value) is kind
    assert len(server.calls) == 1


def test_a_pushback_without_details_is_enough(caller: Caller) -> None:
    script = plainly(grpc.StatusCode.RESOURCE_EXHAUSTED, ("grpc-retry-pushback-ms", "150"))
    with serving(Scripted(unary=[script])) as server:
        caller.segment(server.address, image(0), counts=COUNT)
    assert server.calls[1] - server.calls[0] >= 0.15


def test_a_call_that_was_cancelled_is_not_made_again(caller: Caller) -> None:
    """Also not where no reason is told: our servers cancel nobody's call as they end."""
    with (
        serving(Scripted(unary=[plainly(grpc.StatusCode.CANCELLED)])) as server,
        pytest.raises(Cancelled),
    ):
        caller.segment(server.address, image(0), counts=COUNT)
    assert len(server.calls) == 1


def test_a_client_that_is_closed_ends_its_calls() -> None:
    begun, over = threading.Event(), threading.Event()

    def waits(context: grpc.ServicerContext) -> None:
        context.add_callback(over.set)
        begun.set()
        over.wait(PATIENCE_SECONDS)

    with serving(Scripted(unary=[waits])) as server:
        client = Client(server.address)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.segment, image(0), counts=COUNT)
            assert begun.wait(PATIENCE_SECONDS)
            client.close()
            assert isinstance(call.exception(PATIENCE_SECONDS), Cancelled)
    assert len(server.calls) == 1


@pytest.mark.parametrize("method", ["segment", "segment_many"])
def test_a_client_that_is_closed_before_the_next_try_makes_none(method: str) -> None:
    policy = RetryPolicy(first_backoff_seconds=1.0)

    def refuses_stream(stream: ScriptedStream) -> Iterator[pb.SegmentStreamResponse]:
        stream.refuse(Draining())
        yield from ()

    def call(client: Client) -> None:
        if method == "segment":
            client.segment(image(0), counts=COUNT)
        else:
            list(client.segment_many([(0, image(0))], counts=COUNT))

    async def call_asynchronously(client: AsyncClient) -> None:
        if method == "segment":
            await client.segment(image(0), counts=COUNT)
        else:
            _ = [pair async for pair in client.segment_many([(0, image(0))], counts=COUNT)]

    async def asynchronous(server: Scripted) -> None:
        client = AsyncClient(server.address, retry=policy)
        calling = asyncio.create_task(call_asynchronously(client))
        while not server.calls:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        await client.close()
        with pytest.raises(Cancelled):
            await calling
        with pytest.raises(Cancelled):
            await call_asynchronously(client)

    with serving(Scripted(unary=[refuses(full(0.5))], streams=[refuses_stream])) as server:
        asyncio.run(asynchronous(server))
        assert len(server.calls) == 1
    with serving(Scripted(unary=[refuses(full(0.5))], streams=[refuses_stream])) as server:
        client = Client(server.address, retry=policy)
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(call, client)
            while not server.calls:
                time.sleep(0.01)
            time.sleep(0.2)
            client.close()
            assert isinstance(calling.exception(PATIENCE_SECONDS), Cancelled)
        with pytest.raises(Cancelled):
            call(client)
        assert len(server.calls) == 1


def test_attempts_end(caller: Caller) -> None:
    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.01)
    with serving(Scripted(unary=[refuses(full(0.01))] * 9)) as server, pytest.raises(Overloaded) as caught:
        caller.segment(server.address, image(0), retry=policy, counts=COUNT)
    assert len(server.calls) == 3
    assert (caught.value.reason, caught.value.retry_seconds) == ("QUEUE_FULL", 0.01)


def test_a_wait_that_would_pass_the_deadline_is_not_begun(caller: Caller) -> None:
    with serving(Scripted(unary=[refuses(full(60))])) as server, pytest.raises(Overloaded):
        caller.segment(server.address, image(0), counts=COUNT, timeout=20)
    assert len(server.calls) == 1  # and we are here, long before those 20 s


def test_the_deadline_is_kept_and_told_to_the_server(caller: Caller) -> None:
    told: list[float] = []
    over = threading.Event()

    def never_answers(context: grpc.ServicerContext) -> None:
        told.append(context.time_remaining())
        context.add_callback(over.set)
        over.wait(PATIENCE_SECONDS)

    with serving(Scripted(unary=[refuses(full(0.1)), never_answers])) as server:
        with pytest.raises(DeadlineExceeded):
            caller.segment(server.address, image(0), counts=COUNT, timeout=0.5)
        assert over.wait(PATIENCE_SECONDS)
    assert len(server.calls) == 2
    assert 0 < told[0] <= 0.4  # what the first try and the wait had left of it


def test_no_server_is_said_so_after_some_tries(caller: Caller) -> None:
    with pytest.raises(Unavailable) as caught:
        caller.segment("127.0.0.1:1", image(0), counts=COUNT, retry=RetryPolicy(max_attempts=2))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_is_killed_in_mid_call_is_replaced(caller: Caller) -> None:
    data, count = slow_image()
    patient = RetryPolicy(max_attempts=1000, max_backoff_seconds=0.2)
    limit = "--refinement-max-pixels=2000000"
    result = []
    with running_server(limit) as first:
        call = threading.Thread(
            target=lambda: result.append(
                caller.segment(
                    first.listen, data, counts=count, include_hierarchy=False, retry=patient, timeout=60
                )
            )
        )
        call.start()
        first.wait_until_working()
        first.signal(signal.SIGKILL)
        first.exit_code()
        with running_server(limit, f"--listen={first.listen}"):
            call.join(60)
    assert [answer.count for answer in result] == [count]


def test_health_of_nobody() -> None:
    with Client("127.0.0.1:1") as nowhere, pytest.raises(Unavailable):
        nowhere.health(timeout=5)


# ---- the rules alone --------------------------------------------------------------------------------------


def an_error(kind: type[SegmentError], retry_seconds: float | None = None) -> SegmentError:
    return kind(grpc.StatusCode.UNAVAILABLE, "", retry_seconds=retry_seconds)


def test_backoff_doubles_up_to_its_cap_with_the_pushback_on_top() -> None:
    policy = RetryPolicy(max_attempts=2000, first_backoff_seconds=1, max_backoff_seconds=8)
    for attempts, longest in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (1999, 8)]:
        waits = [policy.wait_seconds(an_error(Unavailable), attempts, 1e9) for _ in range(200)]
        assert longest / 2 <= min(waits) < longest * 0.6
        assert longest * 0.9 < max(waits) <= longest
        pushed = policy.wait_seconds(an_error(Overloaded, 100.0), attempts, 1e9)
        assert 100 + longest / 2 <= pushed <= 100 + longest
    assert policy.wait_seconds(an_error(Unavailable), 2000, 1e9) is None
    assert policy.wait_seconds(an_error(Unavailable), 1, 0.4) is None


def test_a_policy_has_an_attempt_at_least() -> None:
    with pytest.raises(ValueError, match="max_attempts"):
        RetryPolicy(max_attempts=0)


def test_details_that_are_not_ours_do_no_harm() -> None:
    junk = [("grpc-status-details-bin", b"\xff\xff\xff"), ("grpc-retry-pushback-ms", "soon")]
    error = from_call(grpc.StatusCode.UNAVAILABLE, "text", junk, "id")
    assert (type(error), error.message, error.reason, error.request_id) == (Unavailable, "text", "", "id")
    assert type(from_status(Status(code=99, message="?"), "id")) is ServerError


def test_retry_info_and_pushback_that_differ_are_both_kept() -> None:
    status = Status(code=8, message="full")
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=2)))
    trailers = [("grpc-status-details-bin", status.SerializeToString())]
    for pushback, seconds in [("500", 2.0), ("2500", 2.5)]:
        error = from_call(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "", [*trailers, ("grpc-retry-pushback-ms", pushback)], ""
        )
        assert isinstance(error, Overloaded)
        assert error.retry_seconds == seconds


def test_errors_survive_pickling() -> None:
    for error in (
        InvalidImage("no image"),
        InvalidRequest(grpc.StatusCode.INVALID_ARGUMENT, "text", reason="R", field="f", metadata={"a": "b"}),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.__dict__, str(again)) == (type(error), error.__dict__, str(error))


def test_a_newer_servers_names_are_told_by_number() -> None:
    info = wire.read_server_info(pb.GetServerInfoResponse(label_encodings=[pb.LABEL_ENCODING_PNG, 77]))
    assert info.label_encodings == ("PNG", "77")
