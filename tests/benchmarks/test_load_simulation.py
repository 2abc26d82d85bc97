"""The simulation of pods and callers, against closed forms and cases worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.load.arrivals import Phase
from benchmarks.load.autoscaler import Autoscaler
from benchmarks.load.simulated_pods import Channel, Discovery, SimulatedPod
from benchmarks.load.simulation import Simulation, World

from superpixel_service.client.retry import RetryPolicy
from tests.benchmarks.load_models import ONE_SIZE, erlang_c, pod


@pytest.mark.parametrize(("cores", "utilization"), [(1, 0.7), (2, 0.8), (4, 0.8)])
def test_simulated_waits_are_those_of_erlang(cores: int, utilization: float) -> None:
    offered = utilization * cores
    world = World(
        pod(cores, 1.0), ONE_SIZE, (Phase(60_000 / offered, offered),), None, pods=1, exponential=True
    )
    waits = np.array(Simulation(world).run(window_seconds=1e5).waits)
    share = erlang_c(cores, offered)
    expected = share / (cores - offered)
    means = (
        waits[: len(waits) // 50 * 50].reshape(50, -1).mean(axis=1)
    )  # in batches, as waits depend on each other
    error = means.std(ddof=1) / np.sqrt(50)
    assert abs(waits.mean() - expected) < 4 * error
    assert error < 0.1 * expected
    assert np.mean(waits > 0) == pytest.approx(share, abs=0.02)


def test_simulated_waits_with_constant_service_are_those_of_pollaczek_and_khinchine() -> None:
    world = World(pod(1, 1.0), ONE_SIZE, (Phase(60_000, 0.7),), None, pods=1)
    waits = np.array(Simulation(world).run(window_seconds=1e5).waits)
    assert waits.mean() == pytest.approx(0.7 / 0.6, rel=0.05)


def test_a_full_simulated_pod_refuses_as_much_as_the_model_says() -> None:
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
    assert one.offer(0.5, 4, 1.0) == (False, 1.5)  # too many pixels; 1.5 s of work are before it
    assert one.offer(0.5, 1, 1.0) == (True, 2.0)
    assert one.offer(0.5, 1, 1.0) == (False, 2.5)  # too many calls
    assert one.offer(1.0, 1, 1.0) == (True, 3.0)  # the first call has ended
    one.sample(1.5, 60)
    assert [sample[1:] for sample in one.samples] == [(2.0, 1.0)]  # one call of 4 is served, two of 1 wait


def test_refused_calls_are_retried_until_there_is_room() -> None:
    # For a while the load is twice the capacity. Patient callers are all answered in the end.
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


def test_pods_are_used_in_turn() -> None:
    # With constant service times, waits are shorter than at randomly chosen pods.
    world = World(pod(1, 1.0), ONE_SIZE, (Phase(2000, 7.0),), None, pods=10)
    assert np.mean(Simulation(world).run(window_seconds=1000).waits) < 0.5 * 0.7 / 0.6


def test_a_caller_finds_a_new_pod_when_one_of_its_connections_ends() -> None:
    first, second, new = (SimulatedPod(pod(1, 1.0), born=0.0) for _ in range(3))
    rules = Discovery(age_seconds=100.0, lookup_seconds=20.0)
    channel = Channel(rules, np.random.default_rng(1), [first, second])
    lookups: list[float] = []

    def look_up(now: float) -> list[SimulatedPod]:
        lookups.append(now)
        return [second, new] if now > 1000 else [first, second, new]

    seen = [channel.pod(half / 2, look_up) for half in range(2000)]
    found = seen.index(new)
    assert found == pytest.approx(2 * lookups[0], abs=2)
    assert 0 < lookups[0] <= 100
    assert seen[: found - 1 : 2] == [seen[0]] * len(seen[: found - 1 : 2])  # two pods in turn,
    assert {each: seen[found:].count(each) for each in seen} == pytest.approx(
        dict.fromkeys((first, second, new), (2000 - found) / 3), abs=1
    )  # then three pods
    # Three connections, each of which ends after 90 to 110 s; some ends share a lookup.
    assert 1000 / 110 < len(lookups) <= 1000 / 90 * 3
    assert min(np.diff(lookups)) >= 20
    # A draining pod is skipped at once, and its caller looks up the name.
    first.serves, before = False, len(lookups)
    assert {channel.pod(1020 + call, look_up) for call in range(6)} == {second, new}
    assert len(lookups) == before + 1


def test_older_connections_lose_more_calls_of_a_burst() -> None:
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


def test_the_autoscaler_follows_a_burst_once_new_pods_serve() -> None:
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
    assert {at[15], at[120], at[150]} == {2}  # a new pod needs one decision and its start
    assert at[210] > 2
    assert at[420] >= 7
    assert result.refused[-1] == 0
    assert max(result.refused) > 0.2
    # Without an autoscaler the overload lasts.
    fixed = Simulation(replace(world, scaling=None)).run()
    assert set(fixed.pods) == {2}
    assert fixed.refused[-1] > 0.5


def test_a_simulation_depends_on_its_seed_only() -> None:
    world = World(pod(2, 0.1, max_calls=30), ONE_SIZE, (Phase(60, 15),), Autoscaler({"cpu": 0.7}), pods=2)
    first, again = Simulation(world).run(), Simulation(world).run()
    assert first == again
    assert Simulation(replace(world, seed=2)).run() != first
