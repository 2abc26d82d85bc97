"""The load generator: schedules, images, and times that count from a call's due time."""

import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from benchmarks.load import arrivals
from benchmarks.load.arrivals import Arrival, Mix, Phase, schedule
from benchmarks.load.curve import Point, knee
from benchmarks.load.docs import markdown, renew
from benchmarks.load.generator import METHOD, Call, Outcome, histogram, offer, percentile_ms, senders
from benchmarks.load.images import Files
from PIL import Image

SMALL = (64, 48)
MIX = Mix.parse("64x48:3,32x32:1")


# ---- schedules ---------------------------------------------------------------------------------------------


def test_a_mix_is_parsed() -> None:
    mix = Mix.parse("481x321:70,1920x1080:28,3840x2160:2")
    assert mix.sizes == ((481, 321), (1920, 1080), (3840, 2160))
    assert mix.shares == pytest.approx((0.7, 0.28, 0.02))
    assert mix.mean_pixels == pytest.approx(0.7 * 154_401 + 0.28 * 2_073_600 + 0.02 * 8_294_400)
    assert Mix.parse("8x8").shares == (1.0,)


@pytest.mark.parametrize(
    "text", ["", "8x8:1,", "8", "8x8:0", "8x8:-1", "8x8:x", "0x8", "8x8:1,8x8:2", "8x8:nan"]
)
def test_a_wrong_mix_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(mix|size): "):
        Mix.parse(text)


def test_constant_spacing_is_even_within_each_phase() -> None:
    calls = schedule([Phase(2, 4), Phase(1, 8)], MIX, "constant", seed=1)
    assert [call.due for call in calls] == pytest.approx([*np.arange(8) / 4, *(2 + np.arange(8) / 8)])


def test_poisson_spacing_has_the_rate_and_the_variation_of_its_phases() -> None:
    calls = schedule([Phase(1000, 5), Phase(1000, 20)], MIX, "poisson", seed=1)
    dues = np.array([call.due for call in calls])
    for begin, rate in ((0, 5), (1000, 20)):
        inside = dues[(dues >= begin) & (dues < begin + 1000)]
        assert abs(len(inside) - 1000 * rate) < 5 * np.sqrt(1000 * rate)  # five standard deviations
        gaps = np.diff(inside)
        assert np.std(gaps) / np.mean(gaps) == pytest.approx(1, abs=0.05)
    assert (np.diff(dues) >= 0).all()
    shares = Counter(call.size for call in calls)
    assert shares[SMALL] / len(calls) == pytest.approx(0.75, abs=0.02)
    assert calls == schedule([Phase(1000, 5), Phase(1000, 20)], MIX, "poisson", seed=1)
    assert calls != schedule([Phase(1000, 5), Phase(1000, 20)], MIX, "poisson", seed=2)


def test_profiles() -> None:
    assert arrivals.steady(2, 10) == [Phase(10, 2)]
    assert arrivals.step(2, 10, 3) == [Phase(5, 2), Phase(5, 6)]
    assert arrivals.burst(2, 10, 3) == [Phase(4, 2), Phase(2, 6), Phase(4, 2)]


def test_a_replay_has_the_recorded_calls(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("height,seconds,width,who\n321,1700000000.5,481,a\n48,1700000000.25,64,b\n")
    assert arrivals.replay(file) == [Arrival(0.0, (64, 48)), Arrival(0.25, (481, 321))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,width\n1,2\n", "has no height"),
        ("seconds,width,height\n", "has no calls"),
        ("seconds,width,height\n1,2,3\nx,2,3\n", "line 3"),
        ("seconds,width,height\n1,2,0\n", "line 2"),
        ("seconds,width,height\ninf,2,3\n", "line 2"),
        ("seconds,width,height\n1,2\n", "line 2"),
    ],
)
def test_a_wrong_recording_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        arrivals.replay(file)


# ---- images ------------------------------------------------------------------------------------------------


def test_images_differ_in_their_pixels_but_look_alike() -> None:
    files = Files(((160, 120),))
    made = [files.next((160, 120)) for _ in range(60)]
    seen = [np.array(Image.open(io.BytesIO(file))) for file in made]
    assert {image.shape for image in seen} == {(120, 160, 3)}
    assert len({image.tobytes() for image in seen}) == 60
    # Every sixth image is of the same photograph.
    difference = np.abs(seen[0].astype(int) - seen[54].astype(int))
    assert 0 < difference.mean() < 3
    assert np.abs(seen[0].astype(int) - seen[1].astype(int)).mean() > 10


# ---- calls -------------------------------------------------------------------------------------------------


class Stub:
    """A gRPC server with given service times; it records the actual times."""

    def __init__(self, threads: int) -> None:
        self.seconds: dict[bytes, float] = {}
        self.stall_at: int | None = None
        self.stall_seconds = 0.0
        self.worked: list[float] = []
        self._lock = threading.Lock()
        self._begun = self._at_once = self.most_at_once = 0
        self._threads = threads

    def _answer(self, message: bytes, _: grpc.ServicerContext) -> bytes:
        start = time.monotonic()
        with self._lock:
            self._begun += 1
            stalls = self._begun == self.stall_at
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.stall_seconds if stalls else self.seconds.get(message, 0.0))
        with self._lock:
            self.worked.append(time.monotonic() - start)
            self._at_once -= 1
        return b""

    @contextmanager
    def running(self) -> Iterator[str]:
        server = grpc.server(ThreadPoolExecutor(self._threads))
        _, service, method = METHOD.split("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(self._answer)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def test_percentiles_are_those_of_the_calls() -> None:
    random = np.random.default_rng(1)
    seconds = random.lognormal(-3, 1, 20_001)
    found = histogram(seconds)
    for percentile in (50, 90, 99, 99.9):
        expected = 1e3 * np.percentile(seconds, percentile, method="inverted_cdf")
        assert percentile_ms(found, percentile) == pytest.approx(expected, rel=2e-3)
    assert percentile_ms(histogram([]), 99) is None


def test_a_server_with_known_times_is_measured() -> None:
    stub = Stub(threads=16)
    fast, slow = b"fast", b"slow"
    stub.seconds = {fast: 0.02, slow: 0.3}
    messages = {SMALL: fast, (32, 32): slow}
    calls = [Arrival(number / 50, (32, 32) if number % 10 == 9 else SMALL) for number in range(100)]
    with stub.running() as address, senders(address) as ways:
        outcome = offer(calls, 2.0, messages.__getitem__, ways)
    assert outcome.codes == {("OK", ""): 100}
    assert outcome.offered == outcome.throughput == 50
    assert outcome.lost_share == 0
    times = histogram(call.seconds for call in outcome.answered)
    assert stub.most_at_once >= 2  # calls do not wait for earlier answers
    # Not less than the server's actual times; each size has its own.
    worked = np.sort(stub.worked)
    for percentile in (50, 89, 95, 99):
        measured = percentile_ms(times, percentile)
        assert measured is not None
        assert measured >= 1e3 * np.percentile(worked, percentile, method="inverted_cdf") * 0.998
    assert min(call.seconds for call in outcome.calls if call.size == (32, 32)) >= 0.3
    assert min(call.seconds for call in outcome.calls) >= 0.02


def test_a_stall_counts_for_every_call_that_was_due_in_it() -> None:
    """No coordinated omission: a closed loop would have measured one slow call."""
    stub = Stub(threads=1)
    stub.stall_at, stub.stall_seconds = 51, 1.0
    calls = schedule([Phase(2.5, 100)], MIX, "constant", seed=1)
    with stub.running() as address, senders(address) as ways:
        outcome = offer(calls, 2.5, lambda _: b"", ways)
    assert len(outcome.answered) == 250
    # Calls that were due in the first half of the stall wait for at least its second half.
    assert sum(call.seconds >= 0.5 for call in outcome.calls) >= 45
    assert percentile_ms(histogram(call.seconds for call in outcome.calls), 85) >= 300


def test_a_late_generator_is_reported_and_does_not_shorten_times() -> None:
    stub = Stub(threads=4)
    made = 0

    def make(_: tuple[int, int]) -> bytes:
        nonlocal made
        made += 1
        if made == 20:
            time.sleep(0.5)  # delays the generator
        return b""

    calls = schedule([Phase(1.0, 100)], MIX, "constant", seed=1)
    with stub.running() as address, senders(address) as ways:
        outcome = offer(calls, 1.0, make, ways)
    assert len(outcome.answered) == 100
    late = [call for call in outcome.calls if call.sent - call.due > 0.25]
    assert len(late) >= 20
    assert all(call.seconds > 0.25 for call in late)
    assert not outcome.on_time
    assert outcome.late_share >= 0.2
    assert percentile_ms(outcome.lateness, 99) >= 400


def test_a_call_without_an_answer_is_a_failure() -> None:
    stub = Stub(threads=1)
    stub.seconds = {b"x": 1.0}
    with stub.running() as address, senders(address, deadline=0.2) as ways:
        outcome = offer([Arrival(0.0, SMALL)], 1.0, lambda _: b"x", ways)
    (call,) = outcome.failed
    assert call.code == "DEADLINE_EXCEEDED"
    assert call.seconds >= 0.2
    assert outcome.lost_share == 1
    assert not outcome.answered
    assert not outcome.refused


def test_refused_calls_are_not_failures() -> None:
    def call(code: str, reason: str) -> Call:
        return Call(0.0, 0.0, 0.1, SMALL, code, reason)

    outcome = Outcome(
        1.0,
        [
            call("OK", ""),
            call("RESOURCE_EXHAUSTED", "QUEUE_FULL"),
            call("DEADLINE_EXCEEDED", "DEADLINE_UNREACHABLE"),
            call("RESOURCE_EXHAUSTED", ""),
            call("INTERNAL", "INTERNAL_ERROR"),
        ],
    )
    assert [len(each) for each in (outcome.answered, outcome.refused, outcome.failed)] == [1, 2, 2]
    assert outcome.lost_share == 0.8


# ---- the page of the documents -----------------------------------------------------------------------------


def test_a_run_replaces_its_part_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "capacity.md"
    page.write_text("above\n<!-- measured -->\nold \\1\n<!-- /measured -->\nbelow\n")
    for text in (r"new \g<0>", "newest"):
        renew("measured", text, page)
        assert page.read_text() == f"above\n<!-- measured -->\n\n{text}\n\n<!-- /measured -->\nbelow\n"
    with pytest.raises(ValueError, match="<!-- simulated -->"):
        renew("simulated", "x", page)
    assert markdown(("a", "b"), [(1, 2.5)]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |"


# ---- the knee ----------------------------------------------------------------------------------------------


def point(offered: float, p99: float | None = 100.0, refused: float = 0.0, *, on_time: bool = True) -> Point:
    return Point(
        offered=offered,
        answered=offered,
        refused=refused,
        failed=0.0,
        p50=1.0,
        p90=1.0,
        p99=p99,
        p999=p99,
        refusal_p99=None,
        late=0.0,
        on_time=on_time,
        queue_pixels=None,
        busy_cores=None,
        other_cores=None,
        peak_bytes=None,
        model_p50=1.0,
        model_p99=1.0,
        model_refused=0.0,
    )


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([point(10), point(20), point(30, 501)], 20),
        ([point(30, 501), point(20), point(10)], 20),
        ([point(10), point(20, refused=0.01), point(30, refused=0.02)], 10),
        # One unlucky point; one lucky point; two bad points.
        ([point(10), point(20, 600), point(30, 300), point(40, 900)], 30),
        ([point(10), point(20, 900), point(30, 499), point(40, 900)], 10),
        ([point(10), point(20, 900), point(30, 600), point(40, 100)], 40),
        ([point(10), point(20, 900), point(30, 800), point(40, 200)], 10),
        ([point(10), point(20, refused=0.015), point(30), point(40, refused=0.1)], 30),
        ([point(10), point(20, None), point(30)], 10),
        ([point(10), point(20, 9999, on_time=False), point(30)], 30),
        ([point(10), point(20, 100, on_time=False)], 10),
        ([point(10, 500.0)], 10),
        ([point(10, 501)], None),
        ([point(10, None)], None),
        ([], None),
    ],
)
def test_the_knee_is_the_highest_load_within_the_target_despite_chance(
    points: list[Point], found: float | None
) -> None:
    best = knee(points, 500)
    assert (best and best.offered) == found
