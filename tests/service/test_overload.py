"""The short form of `python -m tests.service.overload`: counts, and processor time in place of the clock."""

import pytest

from tests.service.overload import Generator, apart


@pytest.mark.parametrize("seconds", [2.0, pytest.param(8.0, marks=pytest.mark.slow)])
def test_a_server_at_three_times_its_capacity_keeps_its_speed_and_memory(seconds: float) -> None:
    with apart() as server:
        generator = Generator(server)
        peak = generator.capacity(1)
        generator.offer(3 * peak, 1)  # the server has then made the threads that it needs
        images, cpu = server.stages_begun("encode"), server.cpu_seconds()
        generator.capacity(1)
        per_cpu_second = (server.stages_begun("encode") - images) / (server.cpu_seconds() - cpu)
        before = server.resident_bytes()
        load = generator.offer(3 * peak, seconds)
        print(load.report(f"capacity {peak:.1f} images/s; at 300 %"))
        # Calls beyond its capacity are rejected with QUEUE_FULL; admitted ones are answered.
        assert set(load.codes) == {("OK", ""), ("RESOURCE_EXHAUSTED", "QUEUE_FULL")}
        assert load.without_hint == 0
        # A rejection costs little: most of the processor time still goes into answers.
        assert load.per_cpu_second > per_cpu_second / 2
        assert {status for status, _ in load.health} == {"SERVING"}
        assert server.resident_bytes() - before < 20_000_000
        assert server.metric("superpixel_inflight_bytes") == 0
        assert server.metric("superpixel_queue_depth") == 0
