"""The capacity model, against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.load.advice import advise
from benchmarks.load.arrivals import Mix
from benchmarks.load.capacity import Pod, Queue, ServiceTime, pods_needed

from tests.benchmarks.load_models import ONE_SIZE, erlang_c, pod


@pytest.mark.parametrize("utilization", [0.3, 0.8, 0.95])
def test_one_exponential_server(utilization: float) -> None:
    queue = Queue(utilization / 2, 1, 2.0)
    assert queue.mean_wait == pytest.approx(2 * utilization / (1 - utilization))
    assert queue.share_within(0) == pytest.approx(1 - utilization)
    assert queue.share_within(3) == pytest.approx(1 - utilization * math.exp(-3 * (1 - utilization) / 2))


@pytest.mark.parametrize(("servers", "offered"), [(2, 1.6), (4, 2.0), (16, 15.0)])
def test_several_exponential_servers(servers: int, offered: float) -> None:
    queue = Queue(offered, servers, 1.0)
    assert queue.waiting_share == pytest.approx(erlang_c(servers, offered))
    assert queue.mean_wait == pytest.approx(erlang_c(servers, offered) / (servers - offered))


@pytest.mark.parametrize("scv", [0.0, 0.5, 4.0])
def test_one_server_with_any_service_times_has_the_mean_wait_of_pollaczek_and_khinchine(scv: float) -> None:
    queue = Queue(0.8, 1, 1.0, scv)
    assert queue.mean_wait == pytest.approx(0.8 * (1 + scv) / 2 / 0.2)


@pytest.mark.parametrize("rate", [0.5, 0.999999999, 1.0, 1.5, 3.0])
def test_with_a_bound_the_admitted_load_is_within_capacity(rate: float) -> None:
    queue = Queue(rate, 1, 1.0, 1.0, bound=50.0)
    assert rate * (1 - queue.refused_share) <= 1 + 1e-9
    if rate > 1:
        assert queue.refused_share == pytest.approx(1 - 1 / rate, abs=1e-9)
    if rate < 1 - 1e-6:
        assert queue.mean_wait == pytest.approx(Queue(rate, 1, 1.0).mean_wait, rel=1e-6)
    assert queue.share_within(50) == 1
    assert queue.share_within(-1) == 0


def test_one_exponential_server_with_a_bound_satisfies_its_balance_equations() -> None:
    """A call joins if the work before it is at most `bound`; solved here on a fine grid of work."""
    rate, bound = 1.3, 4.0
    step = 1e-3
    inside = np.exp(-(1 - rate) * np.arange(0, bound, step) - 0.0) * rate * step
    above = rate * math.exp(-(1 - rate) * bound)  # f(bound) / mu
    queue = Queue(rate, 1, 1.0, 1.0, bound)
    whole = 1 + inside.sum() + above
    assert queue.refused_share == pytest.approx(above / whole, rel=2e-3)
    # Work is conserved: the admitted load equals the share of time in which the server is busy.
    assert rate * (1 - queue.refused_share) == pytest.approx(1 - 1 / whole, rel=2e-3)


def test_without_a_bound_the_load_must_be_below_capacity() -> None:
    with pytest.raises(ValueError, match="below 2 per second"):
        Queue(2.0, 1, 0.5)


def test_service_times_are_fitted() -> None:
    made = {size: 0.002 + 40e-9 * size[0] * size[1] for size in ((481, 321), (1920, 1080), (3840, 2160))}
    fitted = ServiceTime.fit(made)
    assert fitted.fixed == pytest.approx(0.002)
    assert fitted.a_pixel == pytest.approx(40e-9)
    assert ServiceTime.fit({(100, 100): 0.01}).seconds((200, 100)) == pytest.approx(0.02)
    # The fitted line would be negative at 0 pixels.
    assert ServiceTime.fit({(100, 100): 0.001, (1000, 1000): 0.2}).fixed == 0
    with pytest.raises(ValueError, match="at least one size"):
        ServiceTime.fit({})
    mix = Mix.parse("1000x1000:1,3000x1000:1")
    service = ServiceTime(0.0, 1e-6)
    assert service.mean(mix) == pytest.approx(2.0)
    assert service.scv(mix) == pytest.approx(0.25)


def test_percentiles_of_a_pod_include_wait_and_service() -> None:
    alone = replace(pod(1, 0.1), alone={(1000, 1000): (0.12,)})
    assert alone.percentile(0.001, ONE_SIZE, 50) == pytest.approx(0.12, rel=1e-3)
    quantile = 0.12 + -math.log(0.01 / 0.5) * 0.1 * 0.5 / 0.5  # waits of M/D/1: half those of M/M/1
    assert alone.percentile(5, ONE_SIZE, 99) == pytest.approx(quantile, rel=1e-3)


def test_pods_for_a_load() -> None:
    one = pod(2, 0.1, max_calls=50)
    rate = one.highest_rate(ONE_SIZE, target=0.5)
    assert 0.5 * 20 < rate < 20
    assert one.percentile(rate * 0.999, ONE_SIZE, 99) <= 0.5
    assert one.percentile(rate * 1.001, ONE_SIZE, 99) >= 0.5
    assert pods_needed(rate * 7.5, one, ONE_SIZE, 0.5) == 8
    assert pods_needed(0.1, one, ONE_SIZE, 0.5) == 1
    with pytest.raises(ValueError, match="idle pod"):
        pods_needed(1, one, ONE_SIZE, 0.05)


def test_a_pod_survives_json() -> None:
    made = Pod(2, 48, 60_000_000, ServiceTime(0.001, 4e-8), {(481, 321): (0.01, 0.02)})
    assert Pod.from_json(made.to_json()) == made


def test_advice_is_consistent() -> None:
    settings = {
        "SUPERPIXEL_MAX_IMAGE_PIXELS": "50000000",
        "SUPERPIXEL_MAX_IMAGE_BYTES": str(32 << 20),
        "SUPERPIXEL_MAX_STREAMS": "4",
        "SUPERPIXEL_CACHE_BYTES": str(64 << 20),
        "SUPERPIXEL_MAX_INFLIGHT_BYTES": str(128 << 20),
        "SUPERPIXEL_MAX_INFLIGHT_MEMORY_BYTES": str(2816 << 20),
        "SUPERPIXEL_MAX_UNSENT_BYTES": str(64 << 20),
    }
    advice = advise(pod(1, 0.04), ONE_SIZE, 1.0, 2, settings)
    assert advice is not None
    assert advice.max_calls == 2 + 50
    assert advice.max_pixels == 60_000_000
    assert advice.working == pytest.approx(0.8 * advice.highest)
    assert advice.utilization == pytest.approx(advice.working * 0.04 / 2)
    assert advice.queue_pixels < advice.queue_target
    # The server, images, scratch memory and decode processes of 2 workers per lane, one message per thread,
    # large unread answers of calls and of streams, small ones in two copies per call, the cache.
    parts = 300 + 2816 + 4 * (128 + 80) + 72 * 33 + 2 * 64 + 52 * 2 / 8 + 64
    assert advice.memory_bytes == parts * (1 << 20)
    assert "- SUPERPIXEL_MAX_INFLIGHT_CALLS=52" in advice.lines()
    assert advise(pod(1, 2.0), ONE_SIZE, 1.0, 2, settings) is None
