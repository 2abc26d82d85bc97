"""The short form of `python -m tests.service.overload`, by counts alone."""

from tests.service.overload import Generator, apart


def test_a_server_that_is_called_three_times_too_often_goes_on_as_before() -> None:
    with apart() as server:
        generator = Generator(server)
        generator.capacity(1)
        peak = generator.capacity(2)
        generator.offer(3 * peak, 2)  # whatever is made at first is made
        before = server.resident_bytes()
        load = generator.offer(3 * peak, 6)
        after = generator.capacity(2)  # the machine may have become slower or faster meanwhile
        print(load.report(f"{peak:.1f} images/s, afterwards {after:.1f}; at 300 %"))
        # Refused is what is too much, cleanly; what is admitted is answered.
        assert set(load.codes) == {("OK", ""), ("RESOURCE_EXHAUSTED", "QUEUE_FULL")}
        assert load.without_hint == 0
        # Refusing costs little of what it is to protect: most of the work is still done.
        assert load.goodput > min(peak, after) / 2
        assert {said for said, _ in load.health} == {"SERVING"}
        assert server.resident_bytes() - before < 20_000_000
        assert server.metric("superpixel_inflight_bytes") == 0
        assert server.metric("superpixel_queue_depth") == 0
