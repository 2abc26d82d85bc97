"""When both clients retry a call, how long they wait before that, and how they report the last error."""

import asyncio
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

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
from tests.service.harness import PATIENCE_SECONDS, running_server
from tests.service.mortal import mortal_server
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


@pytest.mark.parametrize("pushback", ["9" * 400, "9" * 5000])
def test_the_client_never_waits_for_an_endless_pushback(pushback: str) -> None:
    trailers = [("grpc-retry-pushback-ms", pushback)]
    error = from_call(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", trailers, "")
    assert RetryPolicy().wait_seconds(error, 1, 1e9) is None


# ---- trying again -----------------------------------------------------------------------------------------


def refuses(error: ServiceError) -> UnaryScript:
    return lambda context: refuse(context, error)


def full(seconds: float) -> ServiceError:
    error = ServerOverloaded(Reason.QUEUE_FULL, "no room")
    error.retry_seconds = seconds
    return error


def test_a_call_carries_its_id_and_the_clients_version(caller: Caller) -> None:
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
def test_errors_that_the_contract_calls_retryable_are_retried(caller: Caller, error: ServiceError) -> None:
    with serving(Scripted(unary=[refuses(error)] * 3)) as server:
        assert caller.segment(server.address, image(0), counts=COUNT).count == COUNT
    assert len(server.calls) == 4


def plainly(code: grpc.StatusCode, *trailers: tuple[str, str]) -> UnaryScript:
    """Reject without details, as a proxy does."""

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
def test_other_errors_are_not_retried(caller: Caller, what: str) -> None:
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


def test_a_cancelled_call_is_not_retried(caller: Caller) -> None:
    """Also not if the error has no reason: our servers cancel no calls when they stop."""
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
def test_a_client_that_is_closed_makes_no_further_attempt(method: str) -> None:
    policy = RetryPolicy(first_backoff_seconds=2.0)

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


def test_attempts_are_limited(caller: Caller) -> None:
    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.01)
    with serving(Scripted(unary=[refuses(full(0.01))] * 9)) as server, pytest.raises(Overloaded) as caught:
        caller.segment(server.address, image(0), retry=policy, counts=COUNT)
    assert len(server.calls) == 3
    assert (caught.value.reason, caught.value.retry_seconds) == ("QUEUE_FULL", 0.01)


def test_a_wait_that_would_pass_the_deadline_is_not_begun(caller: Caller) -> None:
    with serving(Scripted(unary=[refuses(full(60))])) as server, pytest.raises(Overloaded):
        caller.segment(server.address, image(0), counts=COUNT, timeout=50)
    assert len(server.calls) == 1  # and we are here, long before those 50 s


def test_the_deadline_is_kept_and_sent_to_the_server(caller: Caller) -> None:
    told: list[float] = []
    over = threading.Event()

    def never_answers(context: grpc.ServicerContext) -> None:
        told.append(context.time_remaining())
        context.add_callback(over.set)
        over.wait(PATIENCE_SECONDS)

    with serving(Scripted(unary=[refuses(full(0.1)), never_answers])) as server:
        with pytest.raises(DeadlineExceeded):
            caller.segment(server.address, image(0), counts=COUNT, timeout=3.0)
        assert over.wait(PATIENCE_SECONDS)
    assert len(server.calls) == 2
    assert 0 < told[0] <= 2.9  # what the first try and the wait had left of it


def test_a_missing_server_is_reported_after_the_last_attempt(caller: Caller) -> None:
    with pytest.raises(Unavailable) as caught:
        caller.segment("127.0.0.1:1", image(0), counts=COUNT, retry=RetryPolicy(max_attempts=2))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_is_killed_during_a_call_is_replaced(caller: Caller, tmp_path: Path) -> None:
    patient = RetryPolicy(max_attempts=1000, max_backoff_seconds=0.2)
    result = []
    with mortal_server(tmp_path, order="stall") as mortal:
        first = mortal.server
        call = threading.Thread(
            target=lambda: result.append(
                caller.segment(first.listen, image(0), counts=COUNT, retry=patient, timeout=PATIENCE_SECONDS)
            )
        )
        call.start()
        first.wait_until_working()
        first.signal(signal.SIGKILL)
        first.exit_code()
        with running_server(f"--listen={first.listen}"):
            call.join(PATIENCE_SECONDS)
    assert [answer.count for answer in result] == [COUNT]


def test_health_of_an_address_without_a_server() -> None:
    with Client("127.0.0.1:1") as nowhere, pytest.raises(Unavailable):
        nowhere.health(timeout=PATIENCE_SECONDS)


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


def test_a_policy_has_at_least_one_attempt() -> None:
    with pytest.raises(ValueError, match="max_attempts"):
        RetryPolicy(max_attempts=0)


def test_unknown_error_details_do_no_harm() -> None:
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


def test_unknown_names_of_a_newer_server_become_numbers() -> None:
    info = wire.read_server_info(pb.GetServerInfoResponse(label_encodings=[pb.LABEL_ENCODING_PNG, 77]))
    assert info.label_encodings == ("PNG", "77")
