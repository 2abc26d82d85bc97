"""Fair turns: which caller's work begins next, and the share of the limits that one token may use."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import DeadlineUnreachable, Overloaded, TokenLimitReached
from superpixel_service.model import Lane
from superpixel_service.work import expected, free_worker
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.caller import Caller, address_of
from superpixel_service.work.fair_queue import FairQueue
from superpixel_service.work.kind import Kind
from superpixel_service.work.throughput import Throughput
from tests.service.test_admission import Piece, learned, taken_soon, wait_until

MEGAPIXEL = 970_000
"""With the constant cost of an image this is a million pixels: a second in `learned(1.0)`."""


def pieces(token: str, count: int, pixels: int = MEGAPIXEL, kind: Kind = Kind.USUAL) -> list[Piece]:
    return [Piece(pixels, Lane.INTERACTIVE, caller=Caller(token), kind=kind) for _ in range(count)]


def order(queue: FairQueue[Piece], seconds: dict[str, float]) -> str:
    """The callers in the order of their turns, if each piece takes its caller's `seconds`."""
    names = ""
    while queue:
        piece = queue.take()
        names += piece.caller.token
        queue.ended(piece, seconds[piece.caller.token])
    return names


@pytest.mark.parametrize("speed", [Throughput(), learned(1.0)], ids=["speed unknown", "speed known"])
def test_callers_with_equal_images_take_turns(speed: Throughput) -> None:
    queue: FairQueue[Piece] = FairQueue(speed)
    for piece in (*pieces("a", 6), *pieces("b", 3), *pieces("c", 1)):
        queue.add(piece)
    assert order(queue, {"a": 1.0, "b": 1.0, "c": 1.0}) == "abcababaaa"


def test_turns_are_counted_in_measured_time() -> None:
    """The images of "a" look like those of "b" and take ten times as long."""
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    for piece in (*pieces("a", 3), *pieces("b", 30)):
        queue.add(piece)
    assert order(queue, {"a": 10.0, "b": 1.0}) == "a" + 10 * "b" + "a" + 10 * "b" + "a" + 10 * "b"


def test_work_of_one_caller_keeps_its_order() -> None:
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    work = pieces("a", 5)
    for piece in work:
        queue.add(piece)
    assert list(queue) == work
    assert [queue.take() for _ in work] == work


def test_a_caller_that_was_away_saves_up_no_time_and_loses_none() -> None:
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    early, other = pieces("b", 1)[0], pieces("a", 20)
    for piece in (early, *other):
        queue.add(piece)
    for _ in range(11):
        queue.ended(queue.take(), 1.0)
    for piece in pieces("b", 4):
        queue.add(piece)
    # The piece of "b" that comes next does not wait for more than one of "a", nor does "b" catch up.
    assert order(queue, {"a": 1.0, "b": 1.0})[:6] in {"bababa", "ababab"}


def test_removed_work_leaves_no_trace() -> None:
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    first, second = pieces("a", 2)
    queue.add(first)
    queue.add(second)
    assert queue.remove(first)
    assert not queue.remove(first)
    assert queue.seconds() == pytest.approx(1.0)
    queue.ended(queue.take(), 5.0)
    assert not queue
    assert queue.seconds() == 0
    assert not queue._turns  # callers are not remembered for ever
    assert not queue._begun


def test_many_callers_are_forgotten() -> None:
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    queue.add(pieces("stays", 1)[0])
    for number in range(1000):
        queue.add(pieces(f"caller {number}", 1)[0])
        queue.ended(queue.take(), 1.0)
        queue.add(pieces("stays", 1)[0])
        queue.ended(queue.take(), 1.0)
    assert len(queue._turns) < 10


def test_work_ahead_of_a_caller_is_its_own_and_as_much_of_each_other_caller() -> None:
    queue: FairQueue[Piece] = FairQueue(learned(1.0))
    for piece in (*pieces("a", 10), *pieces("b", 2), *pieces("c", 1)):
        queue.add(piece)
    assert queue.seconds() == pytest.approx(13.0)
    assert queue.seconds_before(Caller("d"), Kind.USUAL, 1.0) == pytest.approx(3.0)  # one of each
    assert queue.seconds_before(Caller("b"), Kind.USUAL, 1.0) == pytest.approx(2 + 3 + 1)
    assert queue.seconds_before(Caller("a"), Kind.USUAL, 1.0) == pytest.approx(13.0)


def test_the_kinds_of_work_of_one_caller_take_turns_too() -> None:
    """Fine images are estimated at ten times a usual one."""
    queue: FairQueue[Piece] = FairQueue(learned(0.1))
    fine, usual = pieces("a", 3, kind=Kind.FINE), pieces("a", 15)
    for piece in (*fine, *usual):
        queue.add(piece)
    assert queue.next() is usual[0]
    assert queue.next({Kind.FINE}) is fine[0]
    assert queue.seconds_before(Caller("a"), Kind.USUAL, 0.1) == pytest.approx(1.5 + 1.6)
    assert queue.seconds_before(Caller("a"), Kind.FINE, 1.0) == pytest.approx(3.0 + 1.5)
    assert queue.seconds_before(None, Kind.USUAL, 0.0) == pytest.approx(1.5 + 1.5)
    begun = ""
    for _ in range(18):
        piece = queue.take()
        begun += piece.kind.value[0]
        assert queue.running(piece.kind) == 1
        queue.ended(piece, 1.0 if piece.kind is Kind.FINE else 0.1)
    assert begun.count("u", 0, 12) >= 9  # as much time as the fine images, and not one in two turns
    # Beside another caller it is still one caller.
    for piece in (*pieces("a", 10, kind=Kind.FINE), *pieces("a", 10), *pieces("b", 10)):
        queue.add(piece)
    taken = [queue.take() for _ in range(12)]
    assert sum(piece.caller.token == "b" for piece in taken) >= 8


# The admission queue


def test_a_token_with_a_long_queue_does_not_make_another_ones_calls_wait() -> None:
    settings = Settings(workers=1, max_wait_seconds=3.0)
    queue: AdmissionQueue[Piece] = AdmissionQueue(settings, learned(1.0))
    many = pieces("attacker", 4)
    for piece in many:
        queue.put(piece)
    with pytest.raises(Overloaded) as caught:
        queue.put(pieces("attacker", 1)[0])
    assert caught.value.reason is Reason.QUEUE_FULL
    assert isinstance(queue.expect(), Overloaded)  # for a caller of unknown name
    assert isinstance(queue.expect("attacker"), Overloaded)
    assert queue.expect("victim") is None
    victim = pieces("victim", 1)[0]
    victim.seconds_left = 2.5  # one image of each, and not five seconds
    queue.put(victim)
    assert [queue.take(Lane.INTERACTIVE) for _ in range(3)] == [many[0], victim, many[1]]


def test_deadlines_are_checked_against_the_callers_own_wait() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1), learned(1.0))
    for piece in pieces("a", 4):
        queue.put(piece)
    for token, left, reachable in (("a", 4.9, False), ("b", 1.9, False), ("b", 2.1, True)):
        piece = pieces(token, 1)[0]
        piece.seconds_left = left
        if reachable:
            queue.put(piece)
        else:
            with pytest.raises(DeadlineUnreachable):
                queue.put(piece)


@pytest.mark.parametrize("limit", ["max_inflight_pixels", "max_inflight_bytes"])
def test_one_token_may_use_three_quarters_of_pixels_and_bytes(limit: str) -> None:
    settings = Settings(max_inflight_pixels=1000, max_image_pixels=1000, token_file="tokens")  # type: ignore[arg-type]
    settings = settings.model_copy(update={"max_inflight_bytes": 1000})
    queue: AdmissionQueue[Piece] = AdmissionQueue(settings)

    def piece(size: int, token: str) -> Piece:
        pixels, byte_count = (size, 1) if limit == "max_inflight_pixels" else (1, size)
        return Piece(pixels, Lane.INTERACTIVE, byte_count, caller=Caller(token))

    queue.put(piece(600, "a"))
    queue.put(piece(150, "a"))
    with pytest.raises(TokenLimitReached) as caught:
        queue.put(piece(1, "a"))
    assert (caught.value.reason, caught.value.metadata) == (Reason.TOKEN_LIMIT, {"limit": limit})
    assert limit in caught.value.text
    assert caught.value.retry_seconds is not None
    queue.put(piece(240, "b"))
    alone: AdmissionQueue[Piece] = AdmissionQueue(settings)
    alone.put(piece(1000, "a"))  # one image may always be in flight
    with pytest.raises(Overloaded):
        alone.put(piece(1, "b"))


def test_streams_get_room_by_turns() -> None:
    """Images that wait for room: a caller with less in flight goes first."""
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(max_inflight_calls=4))
    running = [Piece(10, Lane.BULK, caller=Caller("a")) for _ in range(2)]
    for piece in running:
        queue.put(piece)
    entered: list[str] = []

    def enter(token: str) -> None:
        piece = Piece(10, Lane.BULK, caller=Caller(token))

        def wait() -> None:
            if queue.put_when_room(piece, wanted=lambda: True):
                entered.append(token)

        threading.Thread(target=wait, daemon=True).start()

    for count, token in enumerate("aaab", 1):
        enter(token)
        wait_until(lambda count=count: len(queue._entering) == count)
    assert queue.take(Lane.BULK) is running[0]
    queue.finish(running[0])
    wait_until(lambda: entered == ["b"])
    assert queue.take(Lane.BULK) is running[1]
    queue.finish(running[1])
    wait_until(lambda: entered == ["b", "a"])


# Estimates


def fine(seconds: float) -> Throughput:
    speed = learned(0.1)
    for _ in range(8):
        speed.learn(MEGAPIXEL, seconds, 1, Kind.FINE)
    return speed


def test_fine_images_have_an_estimate_of_their_own() -> None:
    speed = fine(3.0)
    assert speed.seconds(1, MEGAPIXEL, Kind.FINE) == pytest.approx(3.0)
    assert speed.seconds(1, MEGAPIXEL) == pytest.approx(0.1)
    # Before any was measured: many times the usual.
    assert learned(0.1).seconds(1, MEGAPIXEL, Kind.FINE) == pytest.approx(1.0)
    assert Throughput().seconds(1, MEGAPIXEL, Kind.FINE) == 0


def test_expensive_images_leave_room_for_usual_ones_of_the_same_caller() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1, max_wait_seconds=5.0), fine(1.1))
    for piece in pieces("", 4, kind=Kind.FINE):
        queue.put(piece)
    with pytest.raises(
        Overloaded
    ):  # 4.4 seconds wait, and it would take another second more than a usual one
        queue.put(pieces("", 1, kind=Kind.FINE)[0])
    for piece in pieces("", 6):
        queue.put(piece)
    assert queue.lanes()[Lane.INTERACTIVE].depth == 10


def test_one_worker_stays_free_of_fine_work_while_usual_work_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(free_worker, "time", SimpleNamespace(monotonic=lambda: clock.now))
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=2))
    fine, usual = pieces("", 3, kind=Kind.FINE), pieces("", 2)
    for piece in fine[:2]:
        queue.put(piece)
    assert {queue.take(Lane.INTERACTIVE) for _ in range(2)} == set(fine[:2])  # no usual work yet: both
    queue.finish(fine[0])
    queue.put(usual[0])
    assert queue.take(Lane.INTERACTIVE) is usual[0]
    queue.finish(usual[0])
    queue.put(fine[2])
    taken = taken_soon(queue, Lane.INTERACTIVE)
    wait_until(lambda: len(queue._idle[Lane.INTERACTIVE]) == 1)
    assert taken == []  # one fine image runs, and the other worker stays free
    queue.put(usual[1])
    wait_until(lambda: taken == [usual[1]])
    clock.now += free_worker.FREE_SECONDS + 1
    assert queue.take(Lane.INTERACTIVE) is fine[2]


def test_an_idle_server_tries_a_deadline_that_seems_unreachable() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1), learned(100.0))
    first, second = pieces("", 2)
    first.seconds_left = second.seconds_left = 1.0
    queue.put(first)
    assert queue.is_probe(first)
    with pytest.raises(DeadlineUnreachable):
        queue.put(second)
    assert queue.take(Lane.INTERACTIVE) is first
    queue.finish(first)
    assert not queue.is_probe(first)
    bulk = Piece(MEGAPIXEL, Lane.BULK)
    queue.put(bulk)
    queue.put(second)  # bulk work does not go before it
    assert queue.is_probe(second)
    unlucky = Piece(MEGAPIXEL, Lane.BULK, seconds_left=1.0)
    with pytest.raises(DeadlineUnreachable):
        queue.put(unlucky)


def test_one_ordinary_image_corrects_the_estimate_after_slow_files() -> None:
    speed = learned(0.05)
    for _ in range(64):
        speed.learn(10_000, 1.0, 1)  # 42 MB of files that take long to decode
    poisoned = speed.seconds(1, MEGAPIXEL)
    assert poisoned > 10
    speed.learn(MEGAPIXEL, 0.05, 1)
    assert speed.seconds(1, MEGAPIXEL) == pytest.approx(0.1)


def test_the_estimate_stays_below_the_slow_images_while_ordinary_ones_come_too() -> None:
    speed = Throughput()
    for number in range(640):
        slow = number % 8 != 0
        speed.learn(MEGAPIXEL, 10.0 if slow else 0.05, 1)
    assert speed.seconds(1, MEGAPIXEL) <= 0.1 + 1e-9


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:43210", "10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:43210", "2001:db8:1:2::"),
        ("ipv6:[::1]:50051", "::"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::"),
        ("unix:", "unix:"),
        ("ipv6:nonsense", "ipv6:nonsense"),
    ],
)
def test_addresses_without_ports(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_bulk_work_takes_turns_too() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1))
    work = [Piece(10, Lane.BULK, caller=Caller(token)) for token in "aaab"]
    for piece in work:
        queue.put(piece)
    assert taken_soon(queue, Lane.BULK) is not None
    wait_until(lambda: queue.lanes()[Lane.BULK].running == 1)
    assert queue.take(Lane.BULK) is work[3]


def test_calls_whose_messages_are_arriving_count_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a free place would let in every call until the first message is read."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(expected, "time", SimpleNamespace(monotonic=lambda: clock.now))
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1, max_wait_seconds=0.5), learned(1.0))
    assert [queue.expect() is None for _ in range(4)] == [True, True, False, False]
    queue.put(pieces("", 1)[0])  # one of them
    assert queue.expect() is not None
    queue.put(pieces("", 1)[0])
    assert queue.expect() is not None
    assert queue.take(Lane.INTERACTIVE) is not None
    for piece in list(queue._running):
        queue.finish(piece)
    assert queue.expect() is None
    assert queue.expect() is not None
    assert queue.expect("other") is None  # another token is not made to wait for it
    clock.now += 1.0  # its message does not come: nobody waits for it any longer
    assert queue.expect() is None


def test_a_rejection_stands_for_a_moment_unless_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overloaded server would estimate the same hundreds of times per second."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(expected, "time", SimpleNamespace(monotonic=lambda: clock.now))
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1, max_wait_seconds=0.5), learned(1.0))
    for piece in pieces("", 2):
        queue.put(piece)
    estimates = []
    estimate = queue._waits.seconds_before_expected

    def counted(*arguments: Any) -> float:
        estimates.append(arguments)
        return estimate(*arguments)

    monkeypatch.setattr(queue._waits, "seconds_before_expected", counted)
    first, again = queue.expect(), queue.expect()
    assert first is not None
    assert again is not None
    assert (again.reason, str(again)) == (first.reason, str(first))
    assert again.retry_seconds is not None
    assert len(estimates) == 1
    assert queue.expect("b") is None  # another token
    assert queue.expect() is not None
    assert len(estimates) == 2
    clock.now += 0.01
    assert queue.expect() is not None
    assert len(estimates) == 3
    assert queue.take(Lane.INTERACTIVE) is not None
    for piece in list(queue._running):
        queue.finish(piece)
    assert queue.expect() is None
