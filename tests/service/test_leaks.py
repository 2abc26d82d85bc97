"""A call leaves nothing in memory: no reference cycles, and no bytes of its image."""

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.config import Settings
from superpixel_service.contract import SCOPES, SERVICE
from superpixel_service.errors import CallCancelled, InvalidRequest, Overloaded
from superpixel_service.model import CacheUse, EncodedImage, Lane, Task
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.security.tokens import line_of, new_token
from superpixel_service.server import Server
from superpixel_service.transport.call import Call
from superpixel_service.work.deadline import Deadline
from tests.service.bench import bench, held_task, task
from tests.service.certificates import write_private
from tests.service.harness import PATIENCE_SECONDS, request, wait_until
from tests.service.images import encoded, scene
from tests.service.test_auth import bearer

PNG = encoded(scene())
GOOD = request(PNG, 5)
TOKEN = new_token()
CALLS = 20


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """To a server in this process, which wants tokens."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    write_private(tokens, line_of("all", SCOPES.values(), TOKEN) + "\n")
    free = dict.fromkeys(("listen", "health_listen", "metrics_listen"), "127.0.0.1:0")
    server = Server(Settings(**free, workers=1, token_file=tokens, max_image_bytes=100_000))  # type: ignore[arg-type]
    addresses = server.start()
    with grpc.insecure_channel(addresses.listen) as channel:
        yield channel
    server.drain()


def segment(message: pb.SegmentRequest, token: str = TOKEN) -> Callable[[grpc.Channel], object]:
    def call(channel: grpc.Channel) -> object:
        return pb_grpc.SuperpixelServiceStub(channel).Segment(message, metadata=bearer(token))

    return call


def segment_stream(*messages: pb.SegmentRequest) -> Callable[[grpc.Channel], object]:
    def call(channel: grpc.Channel) -> object:
        named = [pb.SegmentStreamRequest(request_id="1", request=message) for message in messages]
        stub = pb_grpc.SuperpixelServiceStub(channel)
        return list(stub.SegmentStream(iter(named), metadata=bearer(TOKEN)))

    return call


def cancelled_stream(channel: grpc.Channel) -> None:
    message = pb.SegmentStreamRequest(request=GOOD)
    stream = pb_grpc.SuperpixelServiceStub(channel).SegmentStream(iter([message]), metadata=bearer(TOKEN))
    next(stream)
    stream.cancel()


def watch(channel: grpc.Channel) -> None:
    answers = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    next(answers)
    answers.cancel()


KINDS: dict[str, Callable[[grpc.Channel], object]] = {
    "Segment": segment(GOOD),
    "Segment, bad image": segment(request(PNG[:3000], 5)),
    "Segment, bad count": segment(request(PNG, 0)),
    "Segment, too large": segment(request(bytes(100_001), 5)),
    "Segment, no message": lambda channel: channel.stream_unary(f"/{SERVICE}/Segment")(
        iter(()), metadata=bearer(TOKEN)
    ),
    "Segment, malformed": lambda channel: channel.unary_unary(f"/{SERVICE}/Segment")(
        b"\xff", metadata=bearer(TOKEN)
    ),
    "Segment, without token": segment(GOOD, "unknown"),
    "SegmentStream": segment_stream(GOOD, request(PNG, 0), GOOD),
    "SegmentStream, empty": segment_stream(),
    "SegmentStream, cancelled": cancelled_stream,
    "GetServerInfo": lambda channel: pb_grpc.SuperpixelServiceStub(channel).GetServerInfo(
        pb.GetServerInfoRequest(), metadata=bearer(TOKEN)
    ),
    "unknown method": lambda channel: channel.unary_unary(f"/{SERVICE}/Nothing")(b""),
    "health Check": lambda channel: health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest()
    ),
    "health Watch": watch,
}


def calls_in_memory() -> int:
    return sum(type(each) is Call for each in gc.get_objects())


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_waits_for_the_garbage_collector(channel: grpc.Channel, kind: str) -> None:
    gc.collect()
    gc.freeze()  # `gc.get_objects` then finds only what is made from now on, in a hundredth of the time
    gc.disable()
    try:
        for _ in range(CALLS):
            with contextlib.suppress(grpc.RpcError):
                KINDS[kind](channel)
        wait_until(lambda: calls_in_memory() == 0)
    finally:
        gc.enable()
        gc.unfreeze()


# ---- the image's bytes -------------------------------------------------------------------------------------


def bytes_of(work: Task) -> tuple[bytes, int]:
    source = work.image.source
    assert isinstance(source, EncodedImage)
    return source.data, source.byte_count


def own(work: Task) -> Task:
    """The same task with a copy of its image."""
    return replace(work, image=replace(work.image, source=EncodedImage(work.image.source.data)))


def call_of(callbacks: list[Callable[[], None]]) -> Callable[[Callable[[], None]], bool]:
    """A function that registers callbacks for the end of a call that has not ended."""

    def when_over(callback: Callable[[], None]) -> bool:
        callbacks.append(callback)
        return True

    return when_over


def test_an_images_bytes_are_freed_once_it_is_decoded() -> None:
    with bench() as on:
        work = task(PNG, 5, Lane.INTERACTIVE)
        assert bytes_of(work) == (PNG, len(PNG))
        answer = on.answers.get(work, Deadline.never(), call_of([]))
        assert answer.label_map.data
        assert bytes_of(work) == (b"", len(PNG))
        work = own(held_task(Lane.INTERACTIVE))
        size = work.image.source.byte_count
        job = on.put(work)  # has a copy of its own
        wait_until(lambda: bytes_of(job.task) == (b"", size))
        assert not job.future.done()  # the engine is still at work


def test_an_images_bytes_are_freed_if_it_cannot_be_decoded() -> None:
    with bench() as on:
        work = task(PNG[:3000], 5, Lane.INTERACTIVE)
        with pytest.raises(InvalidRequest):
            on.answers.get(work, Deadline.never(), call_of([]))
        assert bytes_of(work) == (b"", 3000)


def test_an_images_bytes_are_freed_if_it_is_rejected_or_withdrawn() -> None:
    with bench(max_inflight_calls=2) as on:
        blocking = on.put(held_task(Lane.INTERACTIVE))
        wait_until(lambda: blocking.token.steps > 0)
        waiting = on.put(own(task(PNG, 5, Lane.INTERACTIVE)))
        rejected = task(PNG, 5, Lane.INTERACTIVE)
        with pytest.raises(Overloaded):
            on.answers.get(rejected, Deadline.never(), call_of([]))
        assert bytes_of(rejected) == (b"", len(PNG))
        assert bytes_of(waiting.task) == (PNG, len(PNG))
        on.answers.give_up(waiting)
        with pytest.raises(CallCancelled):
            waiting.future.result(PATIENCE_SECONDS)
        assert bytes_of(waiting.task) == (b"", len(PNG))
        assert not blocking.future.done()


def test_an_images_bytes_are_freed_if_its_answer_is_cached_or_another_callers() -> None:
    with bench(cache_bytes=1 << 20) as on:
        first, cached = task(PNG, 5, Lane.INTERACTIVE), task(PNG, 5, Lane.INTERACTIVE)
        on.answers.get(first, Deadline.never(), call_of([]))
        answer = on.answers.get(cached, Deadline.never(), call_of([]))
        assert answer.cache is CacheUse.HIT
        assert bytes_of(cached) == (b"", len(PNG))
        blocking = on.put(held_task(Lane.INTERACTIVE))
        wait_until(lambda: blocking.token.steps > 0)
        leaders, followers = (task(PNG, 7, Lane.INTERACTIVE) for _ in range(2))
        job, is_shared = on.answers._find_or_put(leaders, Deadline.never())  # type: ignore[misc]
        assert not is_shared
        same, is_shared = on.answers._find_or_put(followers, Deadline.never())  # type: ignore[misc]
        assert (same, is_shared) == (job, True)
        assert bytes_of(leaders) == (PNG, len(PNG))
        assert bytes_of(followers) == (b"", len(PNG))
