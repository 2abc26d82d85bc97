"""All attacks, and what must be true during and after each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.attack import answers, artefacts, callers, decoding, fleet, gateway, http2
from tests.attack.target import Facts, Target
from tests.attack.victim import DEADLINE_SECONDS
from tests.service.harness import MEBIBYTE

P95_MS = 1_000.0
"""As the goal of docs/capacity.md: an interactive answer within a second."""

BUSY_P95_MS = 5_000.0
"""Beside callers with much work: the setting max_wait_seconds."""

MOST_BYTES_PER_IDLE_CONNECTION = 40 << 10
MOST_BYTES_OF_AN_ARTEFACT = 100 * MEBIBYTE

_OVERLOAD = {
    "RESOURCE_EXHAUSTED",
    "RESOURCE_EXHAUSTED QUEUE_FULL",
    "RESOURCE_EXHAUSTED BYTES_IN_FLIGHT",
    "RESOURCE_EXHAUSTED OUT_OF_MEMORY",
    "RESOURCE_EXHAUSTED TOKEN_LIMIT",
    "DEADLINE_EXCEEDED",
    "DEADLINE_EXCEEDED DEADLINE_UNREACHABLE",
    "DEADLINE_EXCEEDED DEADLINE_PASSED",
}
UNDECODABLE = frozenset({"INVALID_ARGUMENT IMAGE_UNDECODABLE"} | _OVERLOAD)
SERVED = frozenset({"OK", "INVALID_ARGUMENT MEMORY_ABOVE_LIMIT"} | _OVERLOAD)
EITHER = UNDECODABLE | SERVED


@dataclass(frozen=True)
class Attack:
    """An attack and its limits.

    Attributes:
        run: makes the attack; its name and docstring name it.
        point: number in the list of known attacks.
        outcomes: what the attacker's calls may end with; None: anything.
        least_share: the least share of the victim's calls that is answered within their deadline meanwhile.
        most_p95: the most that the victim's p95 may be meanwhile, in milliseconds.
        least_share_after: the share as soon as the attack is over.
        least_seconds: the attack needs this time to show.
        servers: how many run; 0: the attack is on programs, and there is no victim.
        gateway: whether the victim sends its photographs through the page's gateway.
        growth_bytes: the most that the server's memory may grow; None: the pod's limit counts alone.
        check: looks at what the attack saw; returns what is wrong.
    """

    run: Callable[[Target], Facts]
    point: int
    outcomes: frozenset[str] | None = None
    least_share: float = 0.9
    most_p95: float = P95_MS
    least_share_after: float = 0.9
    least_seconds: float = 0.0
    servers: int = 1
    gateway: bool = False
    growth_bytes: int | None = None
    check: Callable[[Facts], list[str]] = lambda _facts: []

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.run.__name__.replace("_", "-")

    @property
    def description(self) -> str:
        """What the attacker does."""
        return " ".join((self.run.__doc__ or "").split())


def _only(name: str, allowed: set[str]) -> Callable[[Facts], list[str]]:
    """A check: the outcomes called `name` are all allowed, and there are some."""

    def check(facts: Facts) -> list[str]:
        found: Mapping[str, int] = facts[name]
        odd = {outcome: count for outcome, count in found.items() if outcome not in allowed}
        return ([f"{name}: {odd}"] if odd else []) + ([] if found else [f"{name}: none"])

    return check


def _artefact(facts: Facts) -> list[str]:
    wrong = _only("outcomes", {"Python refused", "Node refused"})(facts)
    if facts["most_mebibytes"] * MEBIBYTE > MOST_BYTES_OF_AN_ARTEFACT:
        wrong.append(f"a reader took {facts['most_mebibytes']} MiB")
    return wrong


def _half_headers(facts: Facts) -> list[str]:
    return [f"{facts['open']} half headers were still open"] if facts["open"] else []


ATTACKS = (
    Attack(artefacts.wrapping_selections, 12, servers=0, check=_artefact),
    Attack(decoding.sequential_scans, 13, UNDECODABLE),
    Attack(decoding.progressive_scans, 13, UNDECODABLE),
    Attack(decoding.empty_chunks, 13, UNDECODABLE),
    Attack(decoding.empty_blocks, 13, EITHER, least_share=0.5, most_p95=BUSY_P95_MS),
    Attack(decoding.code_tables, 13, UNDECODABLE, least_share=0.5, most_p95=BUSY_P95_MS),
    Attack(answers.bit_noise, 14, SERVED, least_share=0.5, most_p95=BUSY_P95_MS),
    Attack(answers.thin_noise, 14, SERVED, least_share=0.5, most_p95=BUSY_P95_MS),
    Attack(answers.cached_answers, 15, SERVED, least_share=0.5),
    Attack(answers.deaf_caller, 15),
    Attack(http2.reset_flood, 17, most_p95=100.0),
    Attack(
        http2.gzip_bombs, 17, frozenset({"status 12", "status 3", "status 8"}), growth_bytes=256 * MEBIBYTE
    ),
    Attack(
        http2.large_health_messages,
        17,
        frozenset({"INVALID_ARGUMENT MALFORMED_MESSAGE", "RESOURCE_EXHAUSTED", "CANCELLED"}),
        least_share=0.5,
        growth_bytes=1024 * MEBIBYTE,
    ),
    Attack(http2.header_flood, 17, least_share=0.5, growth_bytes=256 * MEBIBYTE),
    Attack(http2.idle_connections, 17, growth_bytes=http2.IDLE_CONNECTIONS * MOST_BYTES_PER_IDLE_CONNECTION),
    Attack(callers.refined_noise, 18, SERVED, least_share=0.5, most_p95=BUSY_P95_MS),
    Attack(callers.slow_files, 18, EITHER, least_share=0.3, most_p95=BUSY_P95_MS),
    Attack(callers.idle_streams, 18, check=_only("probes", {"OK"})),
    Attack(
        fleet.stopped_server,
        19,
        least_share=0.6,
        most_p95=1e3 * DEADLINE_SECONDS,  # a call to the hung server may take so long
        least_seconds=25.0,
        servers=3,
    ),
    Attack(gateway.cross_site_posts, 20, gateway=True, check=_only("statuses", {"400", "403", "421"})),
    Attack(gateway.stalled_uploads, 20, gateway=True),
    Attack(gateway.ambiguous_lengths, 20, gateway=True, check=_only("answers", {"400", "501"})),
    Attack(gateway.half_headers, 20, gateway=True, least_seconds=20.0, check=_half_headers),
    Attack(artefacts.huge_label_maps, 20, servers=0, check=_artefact),
)
BY_NAME = {attack.name: attack for attack in ATTACKS}
