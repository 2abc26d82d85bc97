"""Who may call: tokens, TLS, other origins; and what the API says about itself: health, metrics, info."""

import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from superpixel_service import __version__
from superpixel_service.api.metrics import GAUGES
from superpixel_service.client import Client
from superpixel_service.security.tokens import line_of, new_token
from tests.api.conftest import IMAGE, Api, running_api, slow_body
from tests.service.certificates import Authority, write_private
from tests.service.command import called, messages, superpixel
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "http-api.md"
TOKENS = {name: new_token() for name in ("both", "other", "segment", "info")}
SCOPES = {"both": ["segment", "info"], "other": ["segment", "info"], "segment": ["segment"], "info": ["info"]}
CLICKS = [{"x": 50, "y": 50}]


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    write_private(path, "\n".join(line_of(name, SCOPES[name], token) for name, token in TOKENS.items()))
    return path


@pytest.fixture(scope="module")
def guarded(token_file: Path) -> Iterator[Api]:
    """An API with its own server, which both check tokens."""
    with running_api("--accept-tokens", token_file) as api:
        yield api


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKENS["both"]},
        {"authorization": f"Basic {TOKENS['both']}"},
        {"authorization": "Bearer "},
    ],
)
def test_strangers_are_rejected(guarded: Api, sent: dict[str, str]) -> None:
    for method, path in (("POST", "/v1/segment?counts=5"), ("POST", "/v1/select"), ("GET", "/v1/info")):
        answer = guarded.call(method, path, None if method == "GET" else IMAGE, sent)
        answer.problem(401, "TOKEN_INVALID")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_strangers_upload_is_not_read(guarded: Api) -> None:
    with socket.create_connection(
        urlsplit(guarded.address).netloc.split(":"), timeout=PATIENCE_SECONDS
    ) as connection:
        connection.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_tokens_need_their_scopes(guarded: Api) -> None:
    assert guarded.segment("counts=5", **bearer("both")).status == 200
    assert guarded.call("GET", "/v1/info", None, bearer("info")).status == 200
    details = guarded.segment("counts=5", **bearer("info")).problem(403, "SCOPE_MISSING")
    assert details["metadata"] == {"scope": "segment"}
    guarded.segment("counts=5", **bearer("segment")).problem(403, "SCOPE_MISSING")
    guarded.call("GET", "/v1/info", None, bearer("segment")).problem(403, "SCOPE_MISSING")
    for path in ("/v1/openapi.json", "/health/live", "/health/ready"):
        assert guarded.call("GET", path).status == 200
    description = guarded.call("GET", "/v1/openapi.json").json()
    assert description["security"] == [{"token": []}]


def test_no_token_reaches_another_ones_map(guarded: Api) -> None:
    map_id = guarded.segment("counts=50&keep=true", **bearer("both")).headers["superpixel-map"]
    wanted = {"map": map_id, "clicks": CLICKS}
    assert guarded.select(wanted, **bearer("both")).status == 200
    guarded.select(wanted, **bearer("other")).problem(404, "MAP_NOT_KEPT")


@pytest.mark.slow
def test_a_removed_token_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    lines = [line_of(name, SCOPES[name], TOKENS[name]) for name in ("both", "other")]
    write_private(path, "\n".join(lines))
    with running_api("--accept-tokens", path) as api:
        assert api.call("GET", "/v1/info", None, bearer("both")).status == 200
        replacement = path.with_suffix(".new")
        write_private(replacement, lines[1])
        replacement.replace(path)
        api.call("GET", "/v1/info", None, bearer("both")).problem(401, "TOKEN_INVALID")
        assert api.call("GET", "/v1/info", None, bearer("other")).status == 200


@pytest.mark.slow
def test_a_token_is_passed_on_to_the_server(token_file: Path, tmp_path: Path) -> None:
    with running_server(f"--token-file={token_file}") as server:
        with running_api("--server", server.listen) as api:
            assert api.segment("counts=5", x_request_id="passed-on", **bearer("both")).status == 200
            assert server.wait_for_line("call", request_id="passed-on")["caller"] == "both"
            # The server alone knows the tokens.
            api.segment("counts=5").problem(401, "TOKEN_INVALID")
            api.segment("counts=5", authorization="Bearer wrong").problem(401, "TOKEN_INVALID")
            api.segment("counts=5", **bearer("info")).problem(403, "SCOPE_MISSING")
            description = api.call("GET", "/v1/openapi.json").json()
            assert description["security"] == [{}, {"token": []}]
        own = tmp_path / "own"
        write_private(own, TOKENS["other"])
        with running_api("--server", server.listen, "--token-file", own) as api:
            assert api.segment("counts=5", x_request_id="own").status == 200
            assert server.wait_for_line("call", request_id="own")["caller"] == "other"
            assert api.segment("counts=5", x_request_id="callers", **bearer("both")).status == 200
            assert server.wait_for_line("call", request_id="callers")["caller"] == "both"
        write_private(own, "spx_unknown")
        with running_api("--server", server.listen, "--token-file", own) as api:
            details = api.segment("counts=5").problem(502, "TOKEN_INVALID")
            assert "token" in details["detail"]


@pytest.mark.slow
def test_tls_with_a_certificate_that_is_renewed(tmp_path: Path) -> None:
    authority, others = Authority(), Authority()
    files = {name: tmp_path / name for name in ("chain", "key", "client_ca")}
    pair = authority.issue("localhost", "127.0.0.1")
    for name, content in (("chain", pair.chain), ("key", pair.key), ("client_ca", others.pem)):
        write_private(files[name], content)
    flags = ("--tls-cert-file", files["chain"], "--tls-key-file", files["key"])

    def trusting(trusted: Authority) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=trusted.pem.decode())

    with running_api(*flags, context=trusting(authority)) as api:
        assert api.address.startswith("https:")
        assert api.segment("counts=5").status == 200
        renewed = others.issue("localhost", "127.0.0.1")
        for name, content in (("chain", renewed.chain), ("key", renewed.key)):
            write_private(files[name], content)
        with pytest.raises(ssl.SSLCertVerificationError):
            api.segment("counts=5")
        after = Api(api.address, api.metrics, trusting(others))
        assert after.segment("counts=5").status == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            Api(api.address.replace("https:", "http:"), api.metrics).segment("counts=5")

    context = trusting(others)
    with running_api(*flags, "--tls-client-ca-file", files["client_ca"], context=context) as api:
        with pytest.raises((ssl.SSLError, http.client.HTTPException, OSError)):
            api.segment("counts=5")
        context.load_cert_chain(*written(tmp_path, others))
        assert Api(api.address, api.metrics, context).segment("counts=5").status == 200


def written(folder: Path, authority: Authority) -> tuple[Path, Path]:
    pair = authority.issue("caller")
    paths = folder / "caller.pem", folder / "caller.key"
    for path, content in zip(paths, (pair.chain, pair.key), strict=True):
        write_private(path, content)
    return paths


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--listen", "0.0.0.0:0"], "would be plaintext on a network"),
        (["--listen", "0.0.0.0:0", "--accept-tokens", "tokens"], "would send tokens in plaintext"),
        (["--tls-cert-file", "cert.pem"], "go together"),
        (["--tls-client-ca-file", "ca.pem"], "needs --tls-cert-file"),
        (["--accept-tokens", "tokens", "--server", "elsewhere.example:1"], "not passed on in plaintext"),
        (["--token-file", "tokens"], "--token-file are for a --server"),
        (["--cors-origin", "labels.example"], "must be * or an origin"),
    ],
)
def test_what_would_show_secrets_is_rejected(
    flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = called(capsys, "http", *flags)
    assert run.returncode == 2
    assert text in run.stderr


@pytest.mark.slow
def test_unusable_files_are_named(tmp_path: Path) -> None:
    """In a process of its own, because it configures the log."""
    shared = tmp_path / "tokens"
    shared.write_text("")
    shared.chmod(0o644)
    run = superpixel("http", "--listen", "127.0.0.1:0", "--accept-tokens", shared)
    assert run.returncode == 1
    assert "other users may read" in messages(run)[-1]


PAGE = "https://labels.example"


def test_pages_of_other_origins_may_not_call(api: Api) -> None:
    for headers in ({"origin": PAGE}, {"origin": PAGE, "sec-fetch-site": "cross-site"}, {"origin": "null"}):
        answer = api.call("POST", "/v1/segment?counts=5", IMAGE, {"content-type": "image/png"} | headers)
        assert "--cors-origin" in answer.problem(403)["detail"]
        assert "access-control-allow-origin" not in answer.headers
    api.call("GET", "/v1/info", None, {"host": "rebound.example"}).problem(421)


@pytest.mark.parametrize(("allowed", "shown"), [(PAGE, PAGE), pytest.param("*", "*", marks=pytest.mark.slow)])
def test_pages_of_an_allowed_origin_may_call(server: RunningServer, allowed: str, shown: str) -> None:
    with running_api("--server", server.listen, "--cors-origin", allowed) as api:
        headers = {"origin": PAGE, "sec-fetch-site": "cross-site", "content-type": "image/png"}
        answer = api.call("POST", "/v1/segment?counts=5", IMAGE, headers)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == shown
        assert "superpixel-map" in answer.headers["access-control-expose-headers"]
        assert "Accept-Encoding" in answer.headers["vary"]
        preflight = api.call(
            "OPTIONS",
            "/v1/segment",
            None,
            {
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,if-none-match",
            },
        )
        assert preflight.status == 200
        assert "POST" in preflight.headers["access-control-allow-methods"]
        error = api.call("POST", "/v1/segment?count=5", IMAGE, headers)
        error.problem(400, "PARAMETER_UNKNOWN")
        assert error.headers["access-control-allow-origin"] == shown
        if allowed != "*":
            api.call("GET", "/v1/info", None, {"origin": "https://other.example"}).problem(403)


def test_info_is_the_servers(api: Api, server: RunningServer) -> None:
    answer = api.call("GET", "/v1/info").json()
    with Client(server.listen) as client:
        info = client.server_info()
    assert answer["max_image_bytes"] == info.max_image_bytes
    assert answer["algorithm_version"] == info.algorithm_version
    assert answer["api"]["version"] == __version__
    api.call("GET", "/v1/info?verbose=1").problem(400, "PARAMETER_UNKNOWN")


def test_other_paths_and_methods(api: Api) -> None:
    for path in ("/", "/v1", "/v1/segment/", "/v2/segment"):
        api.call("POST", path, b"").problem(404)
    for method, path, allow in (("GET", "/v1/segment", {"POST"}), ("PUT", "/v1/info", {"GET", "HEAD"})):
        answer = api.call(method, path)
        answer.problem(405)
        assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.slow
def test_health_follows_the_server() -> None:
    with running_server() as server, running_api("--server", server.listen) as api:
        assert api.call("GET", "/health/ready").json() == {"status": "ready"}
        server.process.kill()
        server.process.wait()
        api.call("GET", "/health/ready").problem(503)
        assert api.call("GET", "/health/live").json() == {"status": "alive"}


def test_metrics_are_those_of_the_document(api: Api) -> None:
    api.segment("counts=5")
    api.call("GET", "/secret/path/of/a/caller")
    with urlopen(api.metrics, timeout=PATIENCE_SECONDS) as page:
        text = page.read().decode()
    assert "secret" not in text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {name for name in families if re.fullmatch("superpixel_http_.*(?<!_created)", name)}
    section = DOCUMENT.read_text().partition("## Metrics")[2]
    assert ours == {name for name in ours if f"`{name}" in section}
    assert set(GAUGES) < ours
    count = sum(
        sample.value
        for sample in families["superpixel_http_requests"].samples
        if sample.labels.items() >= {"path": "/v1/segment", "method": "POST", "status": "200"}.items()
    )
    assert count >= 1
    paths = {
        sample.labels["path"]
        for name in ours - set(GAUGES)
        for sample in families[name].samples
        if "path" in sample.labels
    }
    assert "other" in paths
    assert paths <= {*api.call("GET", "/v1/openapi.json").json()["paths"], "other"}


def test_the_call_is_cancelled_if_the_caller_leaves(api: Api, server: RunningServer) -> None:
    body = slow_body()
    with socket.create_connection(
        urlsplit(api.address).netloc.split(":"), timeout=PATIENCE_SECONDS
    ) as connection:
        head = [
            "POST /v1/segment?counts=100 HTTP/1.1",
            "Host: localhost",
            "Content-Type: image/png",
            "X-Request-Id: leaver",
            f"Content-Length: {len(body)}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        end = time.monotonic() + PATIENCE_SECONDS
        while not server.metric("superpixel_inflight_bytes"):
            assert time.monotonic() < end
    server.wait_for_line("call", request_id="leaver", code="CANCELLED")


@pytest.mark.slow
def test_too_many_requests_are_sent_away(server: RunningServer) -> None:
    """With one call at a time and none waiting, a second one is rejected while the first runs."""
    flags = ("--server", server.listen, "--calls", "1")
    with running_api(*flags, constants={"api.turns._WAITING_PER_TURN": 0}) as api:
        body = slow_body()
        with socket.create_connection(
            urlsplit(api.address).netloc.split(":"), timeout=PATIENCE_SECONDS
        ) as connection:
            head = f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            end = time.monotonic() + PATIENCE_SECONDS
            while not server.metric("superpixel_inflight_bytes"):
                assert time.monotonic() < end
            answer = api.segment("counts=5")
            assert answer.problem(503, "QUEUE_FULL")["retryAfterSeconds"] > 0
            assert int(answer.headers["retry-after"]) >= 1


def test_every_reason_is_in_the_description_and_in_the_document(api: Api) -> None:
    description = json.loads(api.call("GET", "/v1/openapi.json").content)
    reasons = description["components"]["schemas"]["Problem"]["properties"]["reason"]["enum"]
    text = DOCUMENT.read_text()
    for reason in ("PARAMETER_UNKNOWN", "MAP_NOT_KEPT", "KEEPING_OFF"):
        assert reason in reasons
        assert f"`{reason}`" in text
