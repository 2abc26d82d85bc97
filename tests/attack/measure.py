"""Runs one attack beside the victim and judges it."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.attack.catalogue import Attack
from tests.attack.pod import Place, pod_memory_bytes, pods
from tests.attack.process import Attacker
from tests.attack.target import Facts
from tests.attack.victim import Period, Victim
from tests.attack.watch import Watch
from tests.service.harness import MEBIBYTE

_SETTLING_SECONDS = 1.0
"""The victim's first calls wait for its connection."""


@dataclass(frozen=True)
class Result:
    """What came of an attack.

    Attributes:
        before, during, after: what the victim got; None: there was no victim.
        start_bytes, peak_bytes: memory of the server that took most.
        server_cores: cores that the servers used on average meanwhile.
        slowest_probe: seconds of the slowest health check.
        facts: what the attack saw.
        faults: what is wrong whatever the machine's speed.
        late: what is wrong by the clock.
    """

    attack: Attack
    facts: Facts
    faults: list[str]
    late: list[str] = field(default_factory=list)
    before: Period | None = None
    during: Period | None = None
    after: Period | None = None
    start_bytes: int = 0
    peak_bytes: int = 0
    server_cores: float = 0.0
    slowest_probe: float = 0.0


def measure(attack: Attack, seconds: float, folder: Path) -> Result:
    """Run the attack for `seconds`, with a quiet time before and after.

    Args:
        attack: the attack.
        seconds: how long it lasts, unless it needs more.
        folder: an empty folder for tokens.
    """
    seconds = max(seconds, attack.least_seconds)
    target: dict[str, object] = dict.fromkeys(("server", "health", "gateway", "token", "victim_token"), "")
    target |= {"processes": [], "seconds": seconds}
    if not attack.servers:
        with Attacker(attack, target) as attacker:
            attacker.prepare()
            facts = attacker.attack()
        return Result(attack, facts, _wrong_facts(attack, facts))
    with pods(folder, servers=attack.servers, gateway=attack.gateway) as place:
        first = place.servers[0]
        target |= {
            "server": first.listen,
            "health": first.health,
            "processes": place.processes,
            "gateway": place.gateway,
            "token": place.attacker_token,
            "victim_token": place.victim_token,
        }
        quiet = max(1.0, min(5.0, seconds / 2))
        with Attacker(attack, target) as attacker, Victim(place.victim_address, place.victim_token) as victim:
            attacker.prepare()
            victim.wait_for_an_answer()
            time.sleep(_SETTLING_SECONDS)
            begin = time.monotonic()
            # The one server of several that is attacked may not answer its probes.
            with Watch(place, probes=attack.servers == 1) as watch:
                time.sleep(quiet)
                start, cpu = time.monotonic(), watch.cpu_seconds()
                facts = attacker.attack()
                end = time.monotonic()
                cores = (watch.cpu_seconds() - cpu) / (end - start)
                time.sleep(quiet)
            victim.wait_for_an_answer()
            last = time.monotonic()
            faults = _wrong_facts(attack, facts) + _dead(place)
            victim.stop()
        during = victim.period(start, end)
        quiet_calls = victim.period(begin, start)
        before = replace(
            quiet_calls, calls=[call for call in quiet_calls.calls if call.due + call.seconds < start]
        )
        # Calls that were due at the very end of the attack may still wait for its calls.
        after = victim.period(end, last)
    faults += _wrong_memory(attack, watch)
    if watch.not_serving:
        faults.append(f"{watch.not_serving} health checks did not say SERVING")
    late = _wrong_service(attack, before, during, after)
    if watch.failed_probes:
        late.append(f"{watch.failed_probes} health checks failed")
    return Result(
        attack,
        facts,
        faults,
        late,
        before,
        during,
        after,
        watch.before_bytes,
        watch.peak_bytes,
        cores,
        watch.slowest_probe,
    )


def _wrong_facts(attack: Attack, facts: Facts) -> list[str]:
    faults = attack.check(facts)
    if attack.outcomes is not None:
        odd = {name: count for name, count in facts["outcomes"].items() if name not in attack.outcomes}
        faults = faults + ([f"the attacker's calls ended with {odd}"] if odd else [])
    return faults


def _dead(place: Place) -> list[str]:
    faults = []
    for server in place.servers:
        if server.process.poll() is not None:
            faults.append(f"a server ended with status {server.process.returncode}")
        elif server.health_status() != "SERVING":
            faults.append("a server is not healthy afterwards")
    return faults


def _wrong_service(attack: Attack, before: Period, during: Period, after: Period) -> list[str]:
    faults = []
    if before.share < 1:
        faults.append(f"already before, {before.share:.0%} of the victim's calls were answered")
    if during.share < attack.least_share:
        faults.append(
            f"{during.share:.0%} of the victim's calls were answered, must be {attack.least_share:.0%}"
        )
    if during.milliseconds(95) > attack.most_p95:
        faults.append(f"p95 {during.milliseconds(95):.0f} ms, must be at most {attack.most_p95:.0f}")
    if after.share < attack.least_share_after:
        faults.append(f"afterwards {after.share:.0%} were answered, must be {attack.least_share_after:.0%}")
    return faults


def _wrong_memory(attack: Attack, watch: Watch) -> list[str]:
    faults = []
    if watch.peak_bytes > pod_memory_bytes():
        faults.append(f"{watch.peak_bytes / MEBIBYTE:.0f} MiB are more than the pod's limit")
    growth = watch.peak_bytes - watch.before_bytes
    if attack.growth_bytes is not None and growth > attack.growth_bytes:
        faults.append(
            f"memory grew by {growth / MEBIBYTE:.0f} MiB, may by {attack.growth_bytes / MEBIBYTE:.0f}"
        )
    return faults
