"""The capacity model and the simulation, against closed forms and literal cases."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.load.advice import advise
from benchmarks.load.arrivals import Mix, Phase
from benchmarks.load.capacity import Pod, Queue, ServiceTime, pods_needed
from benchmarks.load.simulate import (
    Autoscaler,
    Channel,
    Discovery,
    Policy,
    Rules,
    Scaling,
    SimulatedPod,
    Simulation,
    World,
    desired_of_pods,
    desired_pods,
)

from superpixel_service.client.retry import RetryPolicy

ONE_SIZE = Mix.parse("1000x1000")
NO_BOUND = 10**9


def erlang_c(servers: int, offered: float) -> float:
    """Share of calls that wait in M/M/c, as in textbooks (Erlang 1917)."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)


def pod(cores: int, seconds: float, max_calls: int = NO_BOUND, max_pixels: int = NO_BOUND * 10**6) -> Pod:
    """One that takes so many seconds of a core for an image of a megapixel."""
    return Pod(cores, max_calls, max_pixels, ServiceTime(0.0, seconds / 1e6), {})


# ---- the model ---------------------------------------------------------------------------------------------


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
def test_one_server_of_any_service_time_has_the_mean_wait_of_pollaczek_and_khinchine(scv: float) -> None:
    queue = Queue(0.8, 1, 1.0, scv)
    assert queue.mean_wait == pytest.approx(0.8 * (1 + scv) / 2 / 0.2)


@pytest.mark.parametrize("rate", [0.5, 0.999999999, 1.0, 1.5, 3.0])
def test_with_a_bound_no_more_is_admitted_than_can_be_done(rate: float) -> None:
    queue = Queue(rate, 1, 1.0, 1.0, bound=50.0)
    assert rate * (1 - queue.refused_share) <= 1 + 1e-9
    if rate > 1:
        assert queue.refused_share == pytest.approx(1 - 1 / rate, abs=1e-9)
    if rate < 1 - 1e-6:
        assert queue.mean_wait == pytest.approx(Queue(rate, 1, 1.0).mean_wait, rel=1e-6)
    assert queue.share_within(50) == 1
    assert queue.share_within(-1) == 0


def test_a_bound_of_one_exponential_server_by_the_balance_of_its_states() -> None:
    """A call joins while the work before it is at most `bound`: solved here on a fine grid of work."""
    rate, bound = 1.3, 4.0
    step = 1e-3
    inside = np.exp(-(1 - rate) * np.arange(0, bound, step) - 0.0) * rate * step
    above = rate * math.exp(-(1 - rate) * bound)  # f(bound) / mu
    queue = Queue(rate, 1, 1.0, 1.0, bound)
    whole = 1 + inside.sum() + above
    assert queue.refused_share == pytest.approx(above / whole, rel=2e-3)
    # Work is conserved: what is admitted keeps the server busy when it is.
    assert rate * (1 - queue.refused_share) == pytest.approx(1 - 1 / whole, rel=2e-3)


def test_without_a_bound_the_load_must_be_below_what_can_be_done() -> None:
    with pytest.raises(ValueError, match="below 2 a second"):
        Queue(2.0, 1, 0.5)


def test_service_times_are_fitted() -> None:
    made = {size: 0.002 + 40e-9 * size[0] * size[1] for size in ((481, 321), (1920, 1080), (3840, 2160))}
    fitted = ServiceTime.fit(made)
    assert fitted.fixed == pytest.approx(0.002)
    assert fitted.a_pixel == pytest.approx(40e-9)
    assert ServiceTime.fit({(100, 100): 0.01}).seconds((200, 100)) == pytest.approx(0.02)
    # A line that would be below nothing at no pixels.
    assert ServiceTime.fit({(100, 100): 0.001, (1000, 1000): 0.2}).fixed == 0
    with pytest.raises(ValueError, match="at least one size"):
        ServiceTime.fit({})
    mix = Mix.parse("1000x1000:1,3000x1000:1")
    service = ServiceTime(0.0, 1e-6)
    assert service.mean(mix) == pytest.approx(2.0)
    assert service.scv(mix) == pytest.approx(0.25)


def test_percentiles_of_a_pod_are_waits_and_work() -> None:
    alone = replace(pod(1, 0.1), alone={(1000, 1000): (0.12,)})
    assert alone.percentile(0.001, ONE_SIZE, 50) == pytest.approx(0.12, rel=1e-3)
    quantile = 0.12 + -math.log(0.01 / 0.5) * 0.1 * 0.5 / 0.5  # M/D/1's waits, half as long as M/M/1's
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
    }
    advice = advise(pod(1, 0.04), ONE_SIZE, 1.0, 2, settings)
    assert advice is not None
    assert advice.max_calls == 2 + 50
    assert advice.max_pixels == 60_000_000
    assert advice.working == pytest.approx(0.8 * advice.highest)
    assert advice.utilization == pytest.approx(advice.working * 0.04 / 2)
    assert advice.queue_pixels < advice.queue_target
    # As tests/deploy has it: 300 MiB, 48 bytes a pixel, a message a thread, the cache.
    assert advice.memory_bytes == (300 << 20) + 48 * 60_000_000 + 72 * (33 << 20) + (64 << 20)
    assert "- SUPERPIXEL_MAX_INFLIGHT_CALLS=52" in advice.lines()
    assert advise(pod(1, 2.0), ONE_SIZE, 1.0, 2, settings) is None


# ---- Kubernetes' algorithm ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "metric", "target", "desired"),
    [
        (1, 200, 100, 2),  # "the number of replicas will be doubled, since 200.0 / 100.0 == 2.0"
        (4, 50, 100, 2),  # "you'll halve the number of replicas, since 50.0 / 100.0 == 0.5"
        (3, 109, 100, 3),  # within 0.1 of 1: nothing is done
        (3, 110, 100, 3),
        (3, 111, 100, 4),
        (3, 91, 100, 3),
        (10, 89, 100, 9),
        (10, 110.1, 100, 12),
        (5, 0, 100, 0),
    ],
)
def test_the_desired_number_as_kubernetes_documents_it(
    current: int, metric: float, target: float, desired: int
) -> None:
    assert desired_pods(current, metric, target) == desired
    assert desired_of_pods([metric] * current, 0, 0, target) == desired


@pytest.mark.parametrize(
    ("values", "unready", "missing", "desired"),
    [
        ([200, 200], 2, 0, 4),  # 400 over four pods: the two that start are enough
        ([300, 300], 2, 0, 6),  # 600 over four pods
        ([200, 200], 0, 1, 4),  # 400 over three, of which one counts as 0
        ([50, 50, 50, 50], 0, 4, 6),  # 200 and four times the target
        ([50, 50, 50, 50], 2, 0, 2),  # whoever starts does not count when there is too much
        ([120, 120], 2, 0, 4),  # would turn the direction
        ([], 2, 0, 2),
    ],
)
def test_pods_without_a_metric(values: list[float], unready: int, missing: int, desired: int) -> None:
    assert desired_of_pods(values, unready, missing, 100) == desired


def scaled(rules: Autoscaler, current: int, wanted: int, looks: int, every: float = 60.0) -> list[int]:
    scaling, seen = Scaling(rules), []
    for look in range(looks):
        current = scaling.decide(every * look, current, wanted)
        seen.append(current)
    return seen


def test_down_as_kubernetes_documents_it() -> None:
    """80 pods that should be 10, "Pods 4" and "Percent 10" a minute: 8 in the first step; of the 72 that are
    left 10 % are 7.2, rounded up to 8; from 40 on, 4 at a time."""
    rules = Autoscaler({}, least=1, down=Rules((Policy("Pods", 4, 60), Policy("Percent", 10, 60))))
    seen = scaled(rules, 80, 10, looks=20)
    assert seen[:6] == [72, 64, 57, 51, 45, 40]
    assert seen[6:15] == [36, 32, 28, 24, 20, 16, 12, 10, 10]


def test_up_as_kubernetes_documents_it() -> None:
    # The proposal's example of a fast start: 900 % makes 1, 10, 100, 1000.
    rules = Autoscaler({}, least=1, most=1000, up=Rules((Policy("Percent", 900, 60),)))
    assert scaled(rules, 1, 5000, looks=4) == [10, 100, 1000, 1000]
    # Of our own two policies the one that allows more: 2 pods, then doubling; looks between are too early.
    ours = Autoscaler({}, least=1, most=100)
    assert scaled(ours, 1, 90, looks=7, every=15.0) == [3, 3, 6, 6, 12, 12, 24]


def test_the_highest_of_the_last_five_minutes_counts_on_the_way_down() -> None:
    scaling, current, seen = Scaling(Autoscaler({}, least=1)), 10, []
    for look in range(30):
        current = scaling.decide(15.0 * look, current, 10 if look == 0 else 2)
        seen.append(current)
    assert seen[:21] == [10] * 21  # 300 s, and one pod a minute then
    assert seen[21:25] == [9] * 4
    assert seen[25:29] == [8] * 4


# ---- the simulation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cores", "utilization"), [(1, 0.7), (2, 0.8), (4, 0.8)])
def test_simulated_waits_are_those_of_erlang(cores: int, utilization: float) -> None:
    offered = utilization * cores
    world = World(
        pod(cores, 1.0), ONE_SIZE, (Phase(60_000 / offered, offered),), None, pods=1, exponential=True
    )
    waits = np.array(Simulation(world).run(window_seconds=1e5).waits)
    share = erlang_c(cores, offered)
    expected = share / (cores - offered)
    means = waits[: len(waits) // 50 * 50].reshape(50, -1).mean(axis=1)  # batches: waits are not independent
    error = means.std(ddof=1) / np.sqrt(50)
    assert abs(waits.mean() - expected) < 4 * error
    assert error < 0.1 * expected
    assert np.mean(waits > 0) == pytest.approx(share, abs=0.02)


def test_simulated_waits_of_constant_work_are_those_of_pollaczek_and_khinchine() -> None:
    world = World(pod(1, 1.0), ONE_SIZE, (Phase(60_000, 0.7),), None, pods=1)
    waits = np.array(Simulation(world).run(window_seconds=1e5).waits)
    assert waits.mean() == pytest.approx(0.7 / 0.6, rel=0.05)


def test_a_simulated_pod_that_is_full_refuses_as_much_as_the_model_says() -> None:
    full = pod(1, 1.0, max_calls=20)
    world = World(
        full,
        ONE_SIZE,
        (Phase(50_000, 1.5),),
        None,
        pods=1,
        retry=RetryPolicy(max_attempts=1),
        exponential=True,
    )
    totals = Simulation(world).run(window_seconds=20_000).totals
    assert totals["refused"] / totals["tries"] == pytest.approx(1 / 3, abs=0.02)
    assert full.queue(1.5, ONE_SIZE).refused_share == pytest.approx(1 / 3, abs=0.02)
    assert totals["lost"] == totals["refused"]


def test_bounds_of_a_simulated_pod() -> None:
    one = SimulatedPod(pod(1, 1.0, max_calls=3, max_pixels=10), born=0.0)
    assert one.offer(0.0, 4, 1.0) == (True, 0.0)
    assert one.offer(0.0, 4, 1.0) == (True, 1.0)
    assert one.offer(0.5, 4, 1.0) == (False, 1.5)  # pixels; 1.5 s of work are before it
    assert one.offer(0.5, 1, 1.0) == (True, 2.0)
    assert one.offer(0.5, 1, 1.0) == (False, 2.5)  # calls
    assert one.offer(1.0, 1, 1.0) == (True, 3.0)  # the first has gone
    one.look(1.5, 60)
    assert [sample[1:] for sample in one.samples] == [(2.0, 1.0)]  # one of 4 is worked on, two of 1 wait


def test_refused_calls_come_back_where_there_is_room() -> None:
    # Twice what a pod can do, for a while: with patience all are answered in the end.
    busy = pod(1, 0.1, max_calls=5)
    phases = (Phase(5, 20), Phase(60, 0.01))
    world = World(
        busy, ONE_SIZE, phases, None, pods=1, retry=RetryPolicy(max_attempts=60), patience_seconds=60
    )
    totals = Simulation(world).run(window_seconds=65).totals
    assert totals["refused"] > 0
    assert totals["lost"] == 0
    assert totals["answered"] == totals["calls"]
    impatient = Simulation(replace(world, retry=RetryPolicy(max_attempts=1))).run(window_seconds=65).totals
    assert impatient["lost"] > 0.2 * impatient["calls"]


def test_callers_take_turns() -> None:
    # Constant work and as many pods as calls at a time: by turns nobody waits as they would at a random pod.
    world = World(pod(1, 1.0), ONE_SIZE, (Phase(2000, 7.0),), None, pods=10)
    assert np.mean(Simulation(world).run(window_seconds=1000).waits) < 0.5 * 0.7 / 0.6


def test_a_caller_finds_a_new_pod_when_a_connection_of_its_own_ends() -> None:
    first, second, new = (SimulatedPod(pod(1, 1.0), born=0.0) for _ in range(3))
    rules = Discovery(age_seconds=100.0, lookup_seconds=20.0)
    channel = Channel(rules, np.random.default_rng(1), [first, second])
    looks: list[float] = []

    def look_up(now: float) -> list[SimulatedPod]:
        looks.append(now)
        return [second, new] if now > 1000 else [first, second, new]

    seen = [channel.pod(half / 2, look_up) for half in range(2000)]
    found = seen.index(new)
    assert found == pytest.approx(2 * looks[0], abs=2)
    assert 0 < looks[0] <= 100
    assert seen[: found - 1 : 2] == [seen[0]] * len(seen[: found - 1 : 2])  # two take turns,
    assert {each: seen[found:].count(each) for each in seen} == pytest.approx(
        dict.fromkeys((first, second, new), (2000 - found) / 3), abs=1
    )  # then three
    # Three connections, each of which ends in 90 to 110 s; some ends lie together.
    assert 1000 / 110 < len(looks) <= 1000 / 90 * 3
    assert min(np.diff(looks)) >= 20
    # One that drains is left at once, and the name is looked up.
    first.serves, before = False, len(looks)
    assert {channel.pod(1020 + call, look_up) for call in range(6)} == {second, new}
    assert len(looks) == before + 1


def test_the_longer_connections_live_the_more_of_a_burst_is_lost() -> None:
    world = World(
        pod(1, 0.1, max_calls=30),
        ONE_SIZE,
        (Phase(60, 10), Phase(300, 56)),
        Autoscaler({"cpu": 0.8}, least=2, most=8),
        pods=2,
    )

    def lost(discovery: Discovery | None) -> int:
        return Simulation(replace(world, discovery=discovery)).run().totals["lost"]

    at_once, soon, late = lost(None), lost(Discovery(60.0)), lost(Discovery(600.0))
    assert at_once <= soon
    assert soon < 0.8 * late


def test_the_autoscaler_follows_a_burst_once_pods_have_started() -> None:
    world = World(
        pod(1, 0.1, max_calls=30),
        ONE_SIZE,
        (Phase(120, 10), Phase(300, 56)),
        Autoscaler({"cpu": 0.8}, least=2, most=20),
        pods=2,
        start_seconds=40,
    )
    result = Simulation(world).run()
    at = dict(zip((round(each) for each in result.seconds), result.pods, strict=True))
    assert {at[15], at[120], at[150]} == {2}  # nobody serves before a look and a start are over
    assert at[210] > 2
    assert at[420] >= 7
    assert result.refused[-1] == 0
    assert max(result.refused) > 0.2
    # The same without an autoscaler never gets out of it.
    fixed = Simulation(replace(world, scaling=None)).run()
    assert set(fixed.pods) == {2}
    assert fixed.refused[-1] > 0.5


def test_a_simulation_is_the_same_every_time_and_by_its_seed() -> None:
    world = World(pod(2, 0.1, max_calls=30), ONE_SIZE, (Phase(60, 15),), Autoscaler({"cpu": 0.7}), pods=2)
    first, again = Simulation(world).run(), Simulation(world).run()
    assert first == again
    assert Simulation(replace(world, seed=2)).run() != first
