"""The autoscaler's algorithm, against the cases of Kubernetes' documentation."""

import pytest
from benchmarks.load.autoscaler import Autoscaler, Policy, Rules, Scaling, desired_pods


@pytest.mark.parametrize(
    ("current", "metric", "target", "desired"),
    [
        (1, 200, 100, 2),  # "the number of replicas will be doubled, since 200.0 / 100.0 == 2.0"
        (4, 50, 100, 2),  # "you'll halve the number of replicas, since 50.0 / 100.0 == 0.5"
        (3, 109, 100, 3),  # within 0.1 of 1: no change
        (3, 110, 100, 3),
        (3, 111, 100, 4),
        (3, 91, 100, 3),
        (10, 89, 100, 9),
        (10, 110.1, 100, 12),
        (5, 0, 100, 0),
    ],
)
def test_the_desired_number_is_as_kubernetes_documents_it(
    current: int, metric: float, target: float, desired: int
) -> None:
    assert desired_pods([metric] * current, 0, 0, target) == desired


@pytest.mark.parametrize(
    ("values", "unready", "missing", "desired"),
    [
        ([200, 200], 2, 0, 4),  # 400 over four pods: the two starting pods are enough
        ([300, 300], 2, 0, 6),  # 600 over four pods
        ([200, 200], 0, 1, 4),  # 400 over three pods, one of which counts as 0
        ([50, 50, 50, 50], 0, 4, 6),  # 200, plus four times the target
        ([50, 50, 50, 50], 2, 0, 2),  # starting pods do not count on the way down
        ([120, 120], 2, 0, 4),  # would reverse the direction
        ([], 2, 0, 2),
    ],
)
def test_pods_without_a_metric(values: list[float], unready: int, missing: int, desired: int) -> None:
    assert desired_pods(values, unready, missing, 100) == desired


def scaled(rules: Autoscaler, current: int, wanted: int, steps: int, every: float = 60.0) -> list[int]:
    scaling, seen = Scaling(rules), []
    for step in range(steps):
        current = scaling.decide(every * step, current, wanted)
        seen.append(current)
    return seen


def test_scaling_down_is_as_kubernetes_documents_it() -> None:
    """From 80 pods to 10, with the policies "Pods 4" and "Percent 10" per minute.

    The first step removes 8. 10 % of the remaining 72 are 7.2, rounded up to 8. From 40 on, 4 at a time."""
    rules = Autoscaler({}, least=1, down=Rules((Policy("Pods", 4, 60), Policy("Percent", 10, 60))))
    seen = scaled(rules, 80, 10, steps=20)
    assert seen[:6] == [72, 64, 57, 51, 45, 40]
    assert seen[6:15] == [36, 32, 28, 24, 20, 16, 12, 10, 10]


def test_scaling_up_is_as_kubernetes_documents_it() -> None:
    # The proposal's example of a fast start: "Percent 900" makes 1, 10, 100, 1000.
    rules = Autoscaler({}, least=1, most=1000, up=Rules((Policy("Percent", 900, 60),)))
    assert scaled(rules, 1, 5000, steps=4) == [10, 100, 1000, 1000]
    # Our two policies: the one that allows more counts, so 2 pods, then doubling. Every other step
    # is too early for a change.
    ours = Autoscaler({}, least=1, most=100)
    assert scaled(ours, 1, 90, steps=7, every=15.0) == [3, 3, 6, 6, 12, 12, 24]


def test_the_highest_recommendation_of_five_minutes_counts_on_the_way_down() -> None:
    scaling, current, seen = Scaling(Autoscaler({}, least=1)), 10, []
    for step in range(30):
        current = scaling.decide(15.0 * step, current, 10 if step == 0 else 2)
        seen.append(current)
    assert seen[:21] == [10] * 21  # 300 s, then one pod per minute
    assert seen[21:25] == [9] * 4
    assert seen[25:29] == [8] * 4
