"""Clients and command line over TLS and with tokens, on real servers; tokens never leave in plaintext."""

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from superpixel_service.addresses import stays_here
from superpixel_service.client import (
    AsyncClient,
    Client,
    NotAllowed,
    RetryPolicy,
    Segmentation,
    Unavailable,
    tls_credentials,
)
from superpixel_service.client.security import read_token
from superpixel_service.contract import SCOPES
from superpixel_service.security.tokens import line_of, new_token
from tests.service.certificates import Authority, write_private
from tests.service.command import called, messages, started
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server
from tests.service.images import encoded, scene

PNG = encoded(scene())
ONCE = RetryPolicy(max_attempts=1)
TOKEN = new_token()


class Files:
    """All that a server and its callers have, in one folder."""

    def __init__(self, folder: Path) -> None:
        authority, other = Authority(), Authority()
        server, client = authority.issue("127.0.0.1", "localhost"), authority.issue("backend.example")
        stranger = other.issue("backend.example")
        contents = {
            "ca": "# Müller AG\n".encode("latin-1") + authority.pem,
            "other_ca": other.pem,
            "server": server.chain,
            "server_key": server.key,
            "client": client.chain,
            "client_key": client.key,
            "stranger": stranger.chain,
            "stranger_key": stranger.key,
            "tokens": line_of("test", SCOPES.values(), TOKEN).encode(),
            "token": TOKEN.encode() + b"\n",
            "photo.png": PNG,
        }
        for name, data in contents.items():
            write_private(folder / name, data)
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def credentials(self, ca: str = "ca", own: str | None = "client") -> grpc.ChannelCredentials:
        return tls_credentials(self[ca], own and self[own], own and self[f"{own}_key"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def secured(files: Files) -> Iterator[RunningServer]:
    """Mutual TLS and tokens."""
    with running_server(
        f"--tls-cert-file={files['server']}",
        f"--tls-key-file={files['server_key']}",
        f"--tls-client-ca-file={files['ca']}",
        f"--token-file={files['tokens']}",
    ) as server:
        yield server


def test_the_client_over_tls_with_a_token(secured: RunningServer, files: Files) -> None:
    with Client(secured.listen, credentials=files.credentials(), token=TOKEN) as client:
        assert client.segment(PNG, counts=5).count == 5
        assert client.health()
        ((_, answer),) = client.segment_many([(1, PNG)], counts=5)
        assert isinstance(answer, Segmentation)


def test_the_asyncio_client_over_tls_with_a_token(secured: RunningServer, files: Files) -> None:
    async def run() -> None:
        async with AsyncClient(secured.listen, credentials=files.credentials(), token=TOKEN) as client:
            assert (await client.segment(PNG, counts=5)).count == 5
            assert await client.health()
            answers = [answer async for _, answer in client.segment_many([(1, PNG)], counts=5)]
            assert isinstance(answers[0], Segmentation)

    asyncio.run(run())


@pytest.mark.parametrize(("ca", "own"), [("other_ca", "client"), ("ca", None), ("ca", "stranger")])
def test_a_client_and_server_that_do_not_trust_each_other_make_no_call(
    secured: RunningServer, files: Files, ca: str, own: str | None
) -> None:
    with (
        Client(secured.listen, credentials=files.credentials(ca, own), token=TOKEN, retry=ONCE) as client,
        pytest.raises(Unavailable),
    ):
        client.server_info(timeout=PATIENCE_SECONDS)


def test_calls_without_a_valid_token_are_not_retried(secured: RunningServer, files: Files) -> None:
    for token in (None, new_token()):
        with Client(secured.listen, credentials=files.credentials(), token=token) as client:
            before = secured.metric("grpc_server_handled_total", grpc_code="UNAUTHENTICATED")
            with pytest.raises(NotAllowed) as caught:
                client.segment(PNG, counts=5)
            assert caught.value.reason == "TOKEN_INVALID"
            after = secured.metric("grpc_server_handled_total", grpc_code="UNAUTHENTICATED")
            assert after == before + 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1",
        "localhost:50051",
        "[::1]:1",
        "dns:///localhost:1",
        "dns:localhost",
        "unix:/tmp/socket",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "ipv6:[::1]",
    ],
)
def test_loopback_addresses_count_as_this_machine(address: str) -> None:
    assert stays_here(address)
    Client(address, token=TOKEN).close()


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1:1",
        "superpixel:50051",
        "localhost.example:1",
        "127.0.0.1.example:1",
        "dns:///superpixel:50051",
        "dns://127.0.0.1/localhost:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "ipv6:[::2]:1",
        "xds:///localhost:1",
        "[::]:1",
        "",
    ],
)
@pytest.mark.parametrize("given", ["token", "metadata"])
def test_no_token_goes_to_another_machine_in_plaintext(address: str, given: str) -> None:
    assert not stays_here(address)
    how = {"token": TOKEN} if given == "token" else {"metadata": [("Authorization", f"Bearer {TOKEN}")]}
    with pytest.raises(ValueError, match="plaintext") as caught:
        Client(address, **how)
    assert TOKEN not in str(caught.value)

    async def make() -> None:
        AsyncClient(address, **how)

    with pytest.raises(ValueError, match="plaintext"):
        asyncio.run(make())


def test_a_token_in_plaintext_goes_through_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC sends calls for this machine, too, through the proxy that the environment names."""
    path = tmp_path / "tokens"
    write_private(path, line_of("test", SCOPES.values(), TOKEN))
    with running_server(f"--token-file={path}") as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with Client(server.listen, token=TOKEN, retry=ONCE) as client:
            assert client.segment(PNG, counts=5).count == 5
            assert client.health()

        async def run() -> None:
            async with AsyncClient(server.listen, token=TOKEN, retry=ONCE) as client:
                assert (await client.segment(PNG, counts=5)).count == 5

        asyncio.run(run())


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é"])
def test_invalid_tokens_are_not_sent(token: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token"):
        Client("127.0.0.1:1", token=token)
    path = tmp_path / "token"
    path.write_text(token)
    with pytest.raises(ValueError, match="one token"):
        read_token(path)


def test_files_that_are_no_certificates_are_reported(files: Files) -> None:
    for arguments in (
        (files["token"],),
        (files["ca"], files["token"], files["client_key"]),
        (files["ca"], files["client"], files["stranger_key"]),
        (files["ca"], files["client"], None),
    ):
        with pytest.raises(ValueError, match=r"PEM|together"):
            tls_credentials(*arguments)
    with pytest.raises(FileNotFoundError):
        tls_credentials(files["missing"])


# ---- command line ------------------------------------------------------------------------------------------


def secure_flags(files: Files, ca: str = "ca", own: str = "client", token: str = "token") -> list[str]:
    return [
        f"--ca={files[ca]}",
        f"--cert={files[own]}",
        f"--key={files[own + '_key']}",
        f"--token-file={files[token]}",
    ]


@pytest.mark.parametrize("command", ["info", "segment", "bulk"])
def test_commands_over_tls_with_a_token(
    secured: RunningServer, files: Files, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(PNG)
    arguments = {
        "info": ["info"],
        "segment": ["segment", files["photo.png"], "--counts", "5", "--out", tmp_path / "out"],
        "bulk": ["bulk", tmp_path / "photos", "--counts", "5", "--out", tmp_path / "out"],
    }[command]
    run = called(capsys, *arguments, "--server", secured.listen, *secure_flags(files))
    assert run.returncode == 0, run.stderr


def test_the_pages_own_server_needs_no_certificate(files: Files) -> None:
    """Also if the environment has settings for a public server."""
    environment = {
        "SUPERPIXEL_TLS_CERT_FILE": str(files["server"]),
        "SUPERPIXEL_TLS_KEY_FILE": str(files["server_key"]),
        "SUPERPIXEL_TLS_CLIENT_CA_FILE": str(files["ca"]),
        "SUPERPIXEL_TOKEN_FILE": str(files["tokens"]),
    }
    app = started("app", "--listen=127.0.0.1:0", stdout=subprocess.PIPE, env={**os.environ, **environment})
    try:
        assert app.stdout is not None
        page = next(line.split()[1] for line in app.stdout if line.startswith("page:"))
        with urllib.request.urlopen(f"{page}api/server", timeout=PATIENCE_SECONDS) as answer:
            assert json.load(answer)
        app.terminate()
        assert app.wait(PATIENCE_SECONDS) == 0
        app.stdout.close()
    finally:
        app.kill()


def test_commands_report_why_they_are_not_admitted(
    secured: RunningServer, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*flags: object) -> str:
        run = called(capsys, "info", "--server", secured.listen, *flags)
        assert run.returncode == 1
        (line,) = messages(run)
        return line

    assert "TLS handshake failed" in said(*secure_flags(files, ca="other_ca"))
    assert "wants a token" in said(*secure_flags(files)[:3])
    assert "must hold PEM certificates" in said(*secure_flags(files, ca="token"))
    assert "no such file" in said(*secure_flags(files, token="missing"))
    assert "must hold one token" in said(*secure_flags(files, token="ca"))


def test_commands_reject_contradictory_flags(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, text in (
        (["--server", "10.0.0.1:1", "--token-file", files["token"]], "not sent there in plaintext"),
        (["--server", "127.0.0.1:1", "--cert", files["client"]], "--cert and --key go together"),
        (["--tls"], "are for a --server"),
    ):
        run = called(capsys, "info", *flags)
        assert run.returncode == 2
        assert text in run.stderr
        assert TOKEN not in run.stderr
