"""Cached answers are serialised once, and the bytes of unsent answers are bounded."""

import time

import pytest

from superpixel_service.config import Settings
from superpixel_service.errors import Overloaded
from superpixel_service.images.decode import open_image
from superpixel_service.model import Answer, CacheUse, EncodedImage, LabelEncoding, SegmentSpec, Task, accept
from superpixel_service.transport import convert
from superpixel_service.transport.gate import Gate, Limit
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.answers import Answers
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.job import Job
from superpixel_service.work.throughput import Throughput
from superpixel_service.work.warmup import sample_task
from superpixel_service.work.workers import Workers
from tests.service.images import encoded, scene

PNG = encoded(scene())


def task(encoding: LabelEncoding = LabelEncoding.SPX) -> Task:
    spec = SegmentSpec(
        EncodedImage(PNG),
        target_counts=(40, 9),
        encoding=encoding,
        include_regions=True,
        include_hierarchy=True,
    )
    return accept(spec, open_image(spec, Settings()))


@pytest.mark.parametrize("encoding", list(LabelEncoding))
def test_a_cached_answer_is_serialised_once(encoding: LabelEncoding) -> None:
    settings = Settings(workers=1)
    serialised: list[Answer] = []

    def serialize(answer: Answer) -> bytes:
        serialised.append(answer)
        return convert.serialize_answer(answer)

    queue: AdmissionQueue[Job] = AdmissionQueue(settings)
    answers = Answers(settings, queue, serialize)
    workers = Workers(settings, queue, answers, Throughput())
    workers.start(lambda: sample_task(settings))

    def get() -> Answer:
        return answers.get(task(encoding), Deadline.after(30), lambda _callback: True)

    first, *hits = [get() for _ in range(4)]
    queue.close()
    workers.stop()
    assert [answer.cache for answer in (first, *hits)] == [CacheUse.MISS] + [CacheUse.HIT] * 3
    assert len(serialised) == 1
    assert {answer.label_map.size for answer in hits} == {len(first.label_map.data)}
    assert all(answer.label_map.data == b"" for answer in hits)
    computed, kept = convert.write_segment_response(first), convert.write_segment_response(hits[0])
    assert kept.timings.segment_microseconds == 0
    computed.ClearField("timings")
    kept.ClearField("timings")
    assert kept == computed
    assert answers.cache_byte_count == hits[0].byte_count


def gate(max_answer_bytes: int) -> Gate:
    return Gate({"/a/B": Limit("b", 10)}, OpenCalls(), max_answer_bytes)


def test_cache_hits_are_rejected_while_answers_wait_to_be_read() -> None:
    full = gate(1000)
    first, second, third = (full.check("/a/B") for _ in range(3))
    first.keep_answer(600, rejectable=True)
    with pytest.raises(Overloaded) as caught:
        second.keep_answer(500, rejectable=True)
    assert caught.value.reason == "BYTES_IN_FLIGHT"
    second.keep_answer(400, rejectable=True)
    third.keep_answer(5000, rejectable=False)  # computed: rejecting it now would waste the work
    for permit in (first, second, third):
        permit.release()
    full.check("/a/B").keep_answer(5000, rejectable=True)  # one answer may always wait


def test_the_bytes_of_a_deleted_permit_are_returned() -> None:
    full = gate(1000)
    for _ in range(50):
        full.check("/a/B").keep_answer(900, rejectable=True)
        time.sleep(0)
    assert full.check("/a/B")
