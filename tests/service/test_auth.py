"""Tokens: which methods they admit, how calls are rejected, and that the file is read while calls run."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from superpixel_service.contract import SCOPES, SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.security.reloading import UnusableFile
from superpixel_service.security.tokens import Token, line_of, new_token, parse_tokens
from tests.service import held
from tests.service.certificates import write_private
from tests.service.command import called, messages, superpixel
from tests.service.harness import PATIENCE_SECONDS, RunningServer, refused, request, running_server
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server
from tests.service.test_refusals import check_form

PNG = encoded(scene())
TOKENS = {scope: new_token() for scope in SCOPES.values()}
ALL = new_token()


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def lines() -> list[str]:
    return [
        "# who may call",
        *(line_of(f"only-{scope}", [scope], token) for scope, token in TOKENS.items()),
        "",
        line_of("all", SCOPES.values(), ALL) + "   # until the summer",
    ]


def write(path: Path, *text: str) -> None:
    """Replace the file at once."""
    new = path.with_suffix(".new")
    write_private(new, "\n".join(text) + "\n")
    new.replace(path)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    write(path, *lines())
    with running_server(f"--token-file={path}") as server:
        yield server


def call(server: RunningServer, method: str, metadata: list[tuple[str, str]]) -> object:
    if method == "Segment":
        return server.stub.Segment(request(PNG, 5), metadata=metadata, timeout=PATIENCE_SECONDS)
    if method == "SegmentStream":
        message = pb.SegmentStreamRequest(request_id="1", request=request(PNG, 5))
        return list(server.stub.SegmentStream(iter([message]), metadata=metadata, timeout=PATIENCE_SECONDS))
    return server.stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=metadata, timeout=PATIENCE_SECONDS)


def test_every_method_has_a_scope() -> None:
    service = pb.DESCRIPTOR.services_by_name["SuperpixelService"]
    assert set(SCOPES) == {method.name for method in service.methods}
    assert len(set(SCOPES.values())) == len(SCOPES)


@pytest.mark.parametrize("method", SCOPES)
@pytest.mark.parametrize("scope", [*SCOPES.values(), "all"])
def test_a_token_admits_calls_of_the_methods_in_its_scope(
    guarded: RunningServer, method: str, scope: str
) -> None:
    metadata = bearer(ALL if scope == "all" else TOKENS[scope])
    if scope in {"all", SCOPES[method]}:
        assert call(guarded, method, metadata)
        return
    refusal = refused(lambda: call(guarded, method, metadata))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert refusal.metadata == {"scope": SCOPES[method]}
    assert refusal.retry_seconds is None


WRONG = {
    "none": [],
    "another": bearer(new_token()),
    "one character less": bearer(ALL[:-1]),
    "one character more": bearer(ALL + "A"),
    "empty": bearer(""),
    "its digest": bearer(lines()[-1].split()[2].removeprefix("sha256:")),
    "another scheme": [("authorization", f"Basic {ALL}")],
    "no scheme": [("authorization", ALL)],
    "twice": bearer(ALL) + bearer(ALL),
    "another key": [("x-token", f"Bearer {ALL}")],
}


@pytest.mark.parametrize("method", SCOPES)
@pytest.mark.parametrize("name", WRONG)
def test_calls_without_a_known_token_are_rejected(guarded: RunningServer, method: str, name: str) -> None:
    refusal = refused(lambda: call(guarded, method, WRONG[name]))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert refusal.retry_seconds is None


def test_the_case_of_bearer_does_not_matter(guarded: RunningServer) -> None:
    assert call(guarded, "GetServerInfo", [("authorization", f"bearer {ALL}")])


@pytest.mark.parametrize("method", SCOPES)
def test_a_rejection_does_not_wait_for_the_message(guarded: RunningServer, method: str) -> None:
    """So a caller without a token occupies neither memory for its message nor a thread."""
    release = threading.Event()

    def no_message() -> Iterator[bytes]:
        release.wait(PATIENCE_SECONDS)
        yield from ()

    begin = guarded.channel.stream_stream(f"/{SERVICE}/{method}")
    try:
        refusal = refused(lambda: next(begin(no_message(), timeout=PATIENCE_SECONDS)))
    finally:
        release.set()
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_caller_without_a_token_does_not_learn_that_the_server_is_full(tmp_path: Path) -> None:
    write(tmp_path / "tokens", *lines())
    flags = (f"--token-file={tmp_path / 'tokens'}", "--workers=1", "--max-inflight-calls=1")
    with running_server(*flags, program=held.PROGRAM) as server:
        running = server.stub.Segment.future(request(held.image(), 5), metadata=bearer(ALL))
        server.wait_until_working()
        reasons = {
            name: refused(lambda token=token: call(server, "Segment", bearer(token))).reason
            for name, token in (("stranger", new_token()), ("info", TOKENS["info"]), ("all", ALL))
        }
        running.cancel()
    assert reasons == {"stranger": "TOKEN_INVALID", "info": "SCOPE_MISSING", "all": "QUEUE_FULL"}


def test_a_caller_without_a_token_learns_nothing_about_a_bad_message(guarded: RunningServer) -> None:
    segment = guarded.channel.unary_unary(f"/{SERVICE}/Segment")
    assert refused(lambda: segment(b"\xff not protobuf")).reason == "TOKEN_INVALID"
    known = refused(lambda: segment(b"\xff not protobuf", metadata=bearer(ALL)))
    assert known.reason == "MALFORMED_MESSAGE"


def test_rejections_are_counted_and_logged_and_tokens_are_not(guarded: RunningServer) -> None:
    def count() -> float:
        return guarded.metric("grpc_server_handled_total", grpc_method="Segment", grpc_code="UNAUTHENTICATED")

    before = count()
    stranger = new_token()
    refusal = refused(lambda: call(guarded, "Segment", bearer(stranger)))
    assert count() == before + 1
    line = guarded.wait_for_line("call", request_id=refusal.trailers["x-request-id"])
    assert (line["code"], line["reason"]) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert "caller" not in line
    call(guarded, "Segment", bearer(ALL))
    guarded.wait_for_line("call", code="OK", method="Segment", caller="all")
    assert guarded.metric("superpixel_requests_rejected_total", reason="TOKEN_INVALID") > 0
    text = "".join(guarded.raw_lines) + guarded.metrics_text()
    assert not [token for token in (stranger, ALL, *TOKENS.values()) if token in text]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        pytest.param(ALL, grpc.StatusCode.OK, marks=pytest.mark.slow, id="known"),
        pytest.param("unknown", grpc.StatusCode.UNAUTHENTICATED, id="unknown"),
    ],
)
def test_calls_with_and_without_a_token_leave_no_memory_behind(
    guarded: RunningServer, token: str, code: grpc.StatusCode
) -> None:
    """A handler made for each call would cost 1,700 bytes per call, 6.8 MB in all.

    The allocator's own changes even out over the rounds. `test_leaks.py` counts objects.
    """

    def make(calls: int) -> int:
        for _ in range(calls // 50):
            message, metadata = pb.GetServerInfoRequest(), bearer(token)
            made = [guarded.stub.GetServerInfo.future(message, metadata=metadata) for _ in range(50)]
            assert {each.code() for each in made} == {code}
        return guarded.resident_bytes()

    sizes = [make(1000), *(make(800) for _ in range(5))]
    grown = [after - before for before, after in itertools.pairwise(sizes)]
    assert sum(grown) < 5 * 800 * 1000, grown


def test_health_needs_no_token_and_reflection_needs_one(guarded: RunningServer) -> None:
    for address in (guarded.health, guarded.listen):
        assert guarded.health_status(SERVICE, address=address) == "SERVING"
    reflect = reflection_pb2_grpc.ServerReflectionStub(guarded.channel).ServerReflectionInfo
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    assert refused(lambda: list(reflect(iter([question])))).reason == "TOKEN_INVALID"
    (answer,) = reflect(iter([question]), metadata=bearer(TOKENS["info"]))
    assert answer.list_services_response.service


def test_tokens_are_added_and_removed_while_calls_run(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first, second = new_token(), new_token()
    one, two = (line_of(name, SCOPES.values(), token) for name, token in (("one", first), ("two", second)))
    write(path, one)
    with mortal_server(tmp_path, "--workers=1", f"--token-file={path}", order="stall") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5), metadata=bearer(first))
        server.wait_until_working()
        write(path, two)
        assert refused(lambda: call(server, "GetServerInfo", bearer(first))).reason == "TOKEN_INVALID"
        assert call(server, "GetServerInfo", bearer(second))
        assert not running.done()
        mortal.release()
        assert running.result().label_map.count == 5  # an admitted call is finished
        # A file that cannot be used changes nothing, and is reported.
        write(path, two, "three segment sha256:123")
        assert call(server, "GetServerInfo", bearer(second))
        problem = server.wait_for_line("reload_failed")["problem"]
        assert "line 2 must be NAME SCOPE,SCOPE sha256:HEX" in problem
        assert server.metric("superpixel_file_reloads_total", file="tokens", result="failed") == 1
        path.write_text("")  # rewritten in place: no token is valid
        assert refused(lambda: call(server, "GetServerInfo", bearer(second))).reason == "TOKEN_INVALID"
        assert server.metric("superpixel_file_reloads_total", file="tokens", result="ok") == 2


def test_the_command_makes_a_token_that_admits_calls(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    run = superpixel("token", "new", "labelling-backend", "--scope", "segment", "--scope", "info")
    assert run.returncode == 0
    (message,) = messages(run)
    token = message.split()[-1]
    assert token not in run.stdout
    write_private(path, run.stdout)
    assert parse_tokens(path.read_bytes())[0].scopes == {"segment", "info"}
    with running_server(f"--token-file={path}") as server:
        assert call(server, "Segment", bearer(token))
        refusal = refused(lambda: call(server, "SegmentStream", bearer(token)))
        assert refusal.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["a b", "--scope", "info"], "NAME must be"), (["a"], "--scope"), (["a", "--scope", "root"], "'root'")],
)
def test_tokens_with_invalid_names_or_scopes_are_not_created(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = called(capsys, "token", "new", *arguments)
    assert run.returncode == 2
    assert text in run.stderr
    assert run.stdout == ""


def test_tokens_are_long_and_differ() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) >= 47 for token in made)


def test_a_file_of_tokens() -> None:
    (token,) = parse_tokens(line_of("x", ["info"], "spx_1").encode())
    assert (token.name, token.scopes, len(token.digest)) == ("x", frozenset({"info"}), 32)
    assert isinstance(token, Token)


@pytest.mark.parametrize(
    "text",
    [
        "x info",
        "x info sha256:" + "0" * 63,
        "x info md5:" + "0" * 64,
        "x info,root sha256:" + "0" * 64,
        "x , sha256:" + "0" * 64,
        "x y info sha256:" + "0" * 64,
        "x info sha256:" + "0" * 64 + "\nx info sha256:" + "1" * 64,
        "é info sha256:" + "0" * 64,
    ],
)
def test_malformed_files_are_rejected_and_errors_do_not_quote_them(text: str) -> None:
    with pytest.raises(UnusableFile, match="token_file") as caught:
        parse_tokens(text.encode())
    assert "000000" not in str(caught.value)
