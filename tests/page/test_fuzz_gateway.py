"""Short runs of the gateway's fuzzer; `make fuzz` runs it for long."""

import pytest

from tests.page import fuzz_gateway
from tests.page.fuzz_gateway import check, fuzz, statuses


@pytest.mark.parametrize(
    ("seed", "attempts"),
    [(1, 80), *(pytest.param(seed, 2_000, marks=pytest.mark.slow) for seed in (2, 3))],
)
def test_the_gateway_answers_or_rejects_whatever_comes(seed: int, attempts: int) -> None:
    tally = fuzz(attempts, seed)
    print(tally)
    # Outcomes differ enough for the rest to mean something. A slow machine answers fewer connections.
    assert any("200" in codes for codes in tally)
    assert sum(count for codes, count in tally.items() if "400" in codes) > attempts / 10
    assert len(tally) > 4


def test_the_documents_list_what_it_may_answer() -> None:
    assert {"200", "400", "403", "404", "405", "408", "413", "415"} <= statuses()
    assert not statuses() & fuzz_gateway.NEVER


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b'{"detail": "Traceback (most recent call last)"}',
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b'{"detail": "/site-packages/starlette/routing.py"}',
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n",
    ],
)
def test_the_fuzzer_detects_what_must_not_be(received: bytes) -> None:
    with pytest.raises(AssertionError):
        check(received, statuses())
