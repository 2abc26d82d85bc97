"""Answers are serialised once, by the worker that makes them; cache hits send the same bytes."""

import pytest

from superpixel_service.config import Settings
from superpixel_service.images.decode import open_image
from superpixel_service.model import Answer, CacheUse, EncodedImage, LabelEncoding, SegmentSpec, Task, accept
from superpixel_service.transport import convert
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
def test_an_answer_is_serialised_once(encoding: LabelEncoding) -> None:
    settings = Settings(workers=1)
    serialised: list[Answer] = []

    def serialize(answer: Answer) -> bytes:
        serialised.append(answer)
        return convert.serialize_body(answer)

    queue: AdmissionQueue[Job] = AdmissionQueue(settings)
    answers = Answers(settings, queue)
    workers = Workers(settings, queue, answers, Throughput(), serialize)
    workers.start(lambda: sample_task(settings))
    serialised.clear()  # the samples

    def get() -> Answer:
        return answers.get(task(encoding), Deadline.after(30), lambda _callback: True)

    first, *hits = [get() for _ in range(4)]
    queue.close()
    workers.stop()
    assert [answer.cache for answer in (first, *hits)] == [CacheUse.MISS] + [CacheUse.HIT] * 3
    assert len(serialised) == 1
    assert all(answer.message is first.message for answer in hits)  # the same bytes, not a copy
    assert {convert.serialize_answer(answer) is first.message for answer in hits} == {True}
    assert {answer.label_map.size for answer in hits} == {
        len(convert.write_segment_response(first).label_map.data)
    }
    computed, kept = convert.write_segment_response(first), convert.write_segment_response(hits[0])
    assert kept.timings.segment_microseconds == 0
    computed.ClearField("timings")
    kept.ClearField("timings")
    assert kept == computed
    assert answers.cache_byte_count == hits[0].byte_count
