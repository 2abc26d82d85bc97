"""The memory of answers that callers have not read: its bound, and which callers lose their answers."""

import time

import pytest

from superpixel_service.budgets import ANSWER_COPIES, SMALL_ANSWER_BYTES
from superpixel_service.errors import Overloaded
from superpixel_service.transport import unsent as unsent_module
from superpixel_service.transport.gate import Gate, Limit
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.unsent import LATE_SECONDS, UnsentAnswers
from tests.service.test_gate import Context

MEBIBYTE = 1 << 20


class Caller:
    """A caller with one answer."""

    def __init__(self, answers: UnsentAnswers, size: int) -> None:
        self.cancelled = 0
        self.answer = answers.enter(size, self.cancel)

    def cancel(self) -> None:
        self.cancelled += 1


def test_large_answers_beyond_the_bound_are_rejected_and_small_ones_are_not() -> None:
    room: list[str] = []
    answers = UnsentAnswers(10 * MEBIBYTE, lambda: room.append("room"))
    first = Caller(answers, 3 * MEBIBYTE)
    assert answers.byte_count == ANSWER_COPIES * 3 * MEBIBYTE
    assert answers.half_full
    with pytest.raises(Overloaded) as caught:
        Caller(answers, 3 * MEBIBYTE)
    assert caught.value.reason == "BYTES_IN_FLIGHT"
    assert Caller(answers, SMALL_ANSWER_BYTES).answer is None
    assert Caller(answers, 2 * MEBIBYTE).answer is not None
    answers.leave(first.answer)
    answers.leave(first.answer)  # has no further effect
    answers.leave(None)
    assert answers.byte_count == ANSWER_COPIES * 2 * MEBIBYTE
    assert room == ["room"]
    assert first.cancelled == 0


def test_one_answer_may_always_wait() -> None:
    answers = UnsentAnswers(MEBIBYTE)
    assert Caller(answers, 64 * MEBIBYTE).answer is not None
    with pytest.raises(Overloaded):
        Caller(answers, MEBIBYTE // 2)


def late(monkeypatch: pytest.MonkeyPatch, seconds: float = LATE_SECONDS + 1) -> None:
    """Let time pass."""
    now = time.monotonic() + seconds
    monkeypatch.setattr(unsent_module.time, "monotonic", lambda: now)


def test_callers_that_do_not_read_lose_their_answers_to_others_largest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = UnsentAnswers(10 * MEBIBYTE)
    small, large = Caller(answers, MEBIBYTE), Caller(answers, 3 * MEBIBYTE)
    with pytest.raises(Overloaded):
        Caller(answers, 2 * MEBIBYTE)
    with monkeypatch.context() as patch:
        late(patch)
        new = Caller(answers, 2 * MEBIBYTE)
    assert (small.cancelled, large.cancelled, new.cancelled) == (0, 1, 0)
    answers.leave(large.answer)  # its call ends after the cancellation
    assert answers.byte_count == ANSWER_COPIES * 3 * MEBIBYTE


def test_a_caller_that_reads_other_answers_meanwhile_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = UnsentAnswers(10 * MEBIBYTE)
    cancelled: list[str] = []
    answers.enter(5 * MEBIBYTE, lambda: cancelled.append("reads"), lambda: unsent_module.time.monotonic() - 1)
    with monkeypatch.context() as patch:
        late(patch)
        answers.relieve()
        with pytest.raises(Overloaded):
            Caller(answers, MEBIBYTE)
    assert not cancelled


def test_room_is_made_only_while_more_than_half_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = UnsentAnswers(10 * MEBIBYTE)
    callers = [Caller(answers, MEBIBYTE) for _ in range(4)]
    with monkeypatch.context() as patch:
        late(patch)
        answers.relieve()
    assert sum(caller.cancelled for caller in callers) == 2
    assert not answers.half_full


def test_an_answers_bytes_are_returned_with_its_permit() -> None:
    gate = Gate({"/a/B": Limit("b", 10)}, OpenCalls(), 10 * MEBIBYTE)
    for _ in range(20):
        permit, context = gate.check("/a/B"), Context()
        with permit.serving(context):  # type: ignore[arg-type]
            permit.keep_answer(4 * MEBIBYTE)
        assert gate.unsent.byte_count == ANSWER_COPIES * 4 * MEBIBYTE
        context.answer_is_sent()
        assert gate.unsent.byte_count == 0


def test_a_late_callers_call_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate({"/a/B": Limit("b", 10)}, OpenCalls(), 10 * MEBIBYTE)
    contexts = [Context(), Context()]
    for context in contexts:
        permit = gate.check("/a/B")
        with permit.serving(context):  # type: ignore[arg-type]
            permit.keep_answer(4 * MEBIBYTE)
        late(monkeypatch)
    assert [context.cancelled for context in contexts] == [1, 0]
