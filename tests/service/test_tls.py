"""TLS of the main port: which callers are admitted, and how certificates are renewed while calls run."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.security.reloading import WatchedFiles
from tests.service.certificates import ALONE, DAY, Authority, Pair, SecretFolder, write_private
from tests.service.command import messages, superpixel
from tests.service.harness import CHANNEL_OPTIONS, PATIENCE_SECONDS, RunningServer, request, running_server
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server

PNG = encoded(scene())
AUTHORITY, OTHER = Authority(), Authority()
HERE = ("127.0.0.1", "localhost")
GOOD = AUTHORITY.issue(*HERE)
PORTS = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]


@pytest.fixture
def secret(tmp_path: Path) -> SecretFolder:
    return SecretFolder(tmp_path, chain=GOOD.chain, key=GOOD.key, clients=AUTHORITY.pem)


def flags(secret: SecretFolder, *, mutual: bool = False) -> list[str]:
    given = [f"--tls-cert-file={secret['chain']}", f"--tls-key-file={secret['key']}"]
    return [*given, f"--tls-client-ca-file={secret['clients']}"] if mutual else given


@contextmanager
def stub(
    server: RunningServer, credentials: grpc.ChannelCredentials, *options: tuple[str, object]
) -> Iterator[pb_grpc.SuperpixelServiceStub]:
    with grpc.secure_channel(server.listen, credentials, [*CHANNEL_OPTIONS, ALONE, *options]) as channel:
        yield pb_grpc.SuperpixelServiceStub(channel)


def is_let_in(
    server: RunningServer, credentials: grpc.ChannelCredentials, *options: tuple[str, object]
) -> bool:
    """Whether a new connection serves a call."""
    with stub(server, credentials, *options) as client:
        try:
            client.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
            return False
    return True


def served_certificate(server: RunningServer) -> str:
    host, port = server.listen.split(":")
    return ssl.get_server_certificate((host, int(port)))


def first_of(pair: Pair) -> str:
    return pair.chain.decode().partition("-----END")[0]


def reloads(server: RunningServer, result: str) -> float:
    return server.metric("superpixel_file_reloads_total", file="certificate", result=result)


def test_clients_that_trust_the_authority_are_served(secret: SecretFolder) -> None:
    with running_server(*flags(secret)) as server:
        with stub(server, AUTHORITY.credentials()) as client:
            assert client.Segment(request(PNG, 5)).label_map.count == 5
        assert not is_let_in(server, OTHER.credentials())
        with grpc.insecure_channel(server.listen, options=[ALONE]) as plain:
            with pytest.raises(grpc.RpcError) as caught:
                pb_grpc.SuperpixelServiceStub(plain).GetServerInfo(
                    pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS
                )
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.wait_for_line("ready")["tls"] is True
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
        # Probes and Prometheus need no certificate.
        assert server.health_status() == "SERVING"
        expiry = server.metric("superpixel_certificate_expiry_timestamp_seconds")
        assert expiry == x509.load_pem_x509_certificate(GOOD.chain).not_valid_after_utc.timestamp()


def test_a_certificate_for_another_name_is_not_trusted(secret: SecretFolder) -> None:
    pair = AUTHORITY.issue("superpixel.example")
    secret.put(chain=pair.chain, key=pair.key)
    with running_server(*flags(secret)) as server:
        assert not is_let_in(server, AUTHORITY.credentials())
        name = ("grpc.ssl_target_name_override", "superpixel.example")
        assert is_let_in(server, AUTHORITY.credentials(), name)


def test_mutual_tls_requires_a_certificate_of_the_right_authority(secret: SecretFolder) -> None:
    with running_server(*flags(secret, mutual=True)) as server:
        assert is_let_in(server, AUTHORITY.credentials(AUTHORITY.issue("backend.example")))
        assert not is_let_in(server, AUTHORITY.credentials())
        assert not is_let_in(server, AUTHORITY.credentials(OTHER.issue("backend.example")))
        assert not is_let_in(server, AUTHORITY.credentials(AUTHORITY.issue("backend.example", end=-1)))
        assert server.health_status() == "SERVING"


def test_a_renewed_certificate_is_served_to_new_connections_while_calls_run(
    secret: SecretFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    renewed = OTHER.issue(*HERE)
    folder = tmp_path_factory.mktemp("mortal")
    with (
        mortal_server(folder, *flags(secret), "--workers=1", order="stall") as mortal,
        stub(mortal.server, AUTHORITY.credentials()) as old,
    ):
        server = mortal.server
        running = old.Segment.future(request(PNG, 5))
        server.wait_until_working()
        assert served_certificate(server).startswith(first_of(GOOD))
        secret.put(chain=renewed.chain, key=renewed.key)
        assert served_certificate(server).startswith(first_of(renewed))
        assert is_let_in(server, OTHER.credentials())
        assert not is_let_in(server, AUTHORITY.credentials())
        assert not running.done()
        mortal.release()
        assert running.result().label_map.count == 5
        assert old.Segment(request(PNG, 5)).label_map.count == 5  # its connection stands
        assert reloads(server, "ok") == 1
        assert server.wait_for_line("reloaded")["file"] == "certificate"


BROKEN = {
    "no certificate": ({"chain": b"nonsense"}, "tls_cert_file must be a PEM certificate"),
    "nothing at all": ({"chain": b"", "key": b""}, "tls_cert_file must be a PEM certificate"),
    "half a certificate": ({"chain": GOOD.chain[:300]}, "tls_cert_file must be a PEM certificate"),
    "another's key": ({"key": OTHER.issue(*HERE).key}, "is not the key of the certificate"),
    "expired": (vars(AUTHORITY.issue(*HERE, end=-1)), "certificate has expired"),
    "not yet valid": (vars(AUTHORITY.issue(*HERE, start=DAY, end=2 * DAY)), "certificate is not yet valid"),
    "no authorities": ({"clients": b"nonsense"}, "tls_client_ca_file must hold PEM certificates"),
}


def problems(server: RunningServer) -> list[str]:
    return [line["problem"] for line in server.lines if line["event"] == "reload_failed"]


def is_current(server: RunningServer) -> bool:
    return server.metric("superpixel_file_current", file="certificate") == 1


@pytest.mark.parametrize("encoding", [pytest.param("utf-8", marks=pytest.mark.slow), "latin-1"])
def test_text_around_certificates_may_be_in_any_encoding(secret: SecretFolder, encoding: str) -> None:
    note = "# Müller AG\n".encode(encoding)
    renewed = OTHER.issue(*HERE)
    mine = AUTHORITY.issue("backend.example")
    secret.put(chain=note + GOOD.chain, key=note + GOOD.key, clients=note + AUTHORITY.pem)
    with running_server(*flags(secret, mutual=True)) as server:
        assert is_let_in(server, AUTHORITY.credentials(mine))
        assert not is_let_in(server, AUTHORITY.credentials())
        secret.put(chain=note + renewed.chain, key=note + renewed.key)
        assert is_let_in(server, OTHER.credentials(mine))
        assert reloads(server, "ok") == 1


def test_a_failed_reload_keeps_the_old_value_and_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("2")
    watched = WatchedFiles("number", [file], lambda contents: 1 / int(contents[0]))
    for text, expected, current in (("0", 0.5, False), ("none", 0.5, False), ("10", 0.1, True)):
        file.write_text(text)
        assert (watched.value(), watched.current) == (expected, current)
        assert (watched.value(), watched.current) == (expected, current)
    assert watched.reloads == {"ok": 1, "failed": 2}


def test_a_broken_certificate_is_reported_and_the_old_one_stays(secret: SecretFolder) -> None:
    mine = AUTHORITY.credentials(AUTHORITY.issue("backend.example"))
    whole = {"chain": GOOD.chain, "key": GOOD.key, "clients": AUTHORITY.pem}
    with running_server(*flags(secret, mutual=True)) as server:
        for number, (files, problem) in enumerate(BROKEN.values(), 1):
            secret.put(**{**whole, **files})
            # Prometheus finds it out, before anybody connects.
            assert reloads(server, "failed") == number
            assert not is_current(server)
            assert is_let_in(server, mine)
            assert reloads(server, "failed") == number  # told once
            server.wait_until(lambda number=number: len(problems(server)) == number)  # type: ignore[misc]
            assert problem in problems(server)[-1]
        renewed = AUTHORITY.issue(*HERE)
        secret.put(**{**whole, "chain": renewed.chain, "key": renewed.key})
        assert is_let_in(server, mine)
        assert (reloads(server, "ok"), reloads(server, "failed")) == (1, len(BROKEN))
        assert is_current(server)


def test_missing_files_change_nothing_until_they_are_restored(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(GOOD.chain)
    write_private(key, GOOD.key)
    with running_server(f"--tls-cert-file={chain}", f"--tls-key-file={key}") as server:
        chain.unlink()
        assert is_let_in(server, AUTHORITY.credentials())
        assert reloads(server, "failed") == 1
        chain.write_bytes(GOOD.chain)
        assert is_let_in(server, AUTHORITY.credentials())
        assert (reloads(server, "ok"), reloads(server, "failed")) == (1, 1)


def test_restored_files_are_current_again(tmp_path: Path) -> None:
    """As of a volume that is not there for a while."""
    volume, away = tmp_path / "volume", tmp_path / "away"
    volume.mkdir()
    (volume / "chain").write_bytes(GOOD.chain)
    write_private(volume / "key", GOOD.key)
    with running_server(f"--tls-cert-file={volume / 'chain'}", f"--tls-key-file={volume / 'key'}") as server:
        assert is_current(server)
        volume.rename(away)
        assert not is_current(server)
        away.rename(volume)
        assert is_current(server)
        assert (reloads(server, "ok"), reloads(server, "failed")) == (0, 1)


def test_clients_of_a_removed_authority_are_rejected(secret: SecretFolder) -> None:
    mine, theirs = (
        AUTHORITY.credentials(AUTHORITY.issue("a.example")),
        AUTHORITY.credentials(OTHER.issue("b.example")),
    )
    with running_server(*flags(secret, mutual=True)) as server:
        secret.put(clients=AUTHORITY.pem + OTHER.pem)
        assert is_let_in(server, mine)
        assert is_let_in(server, theirs)
        secret.put(clients=OTHER.pem)
        assert not is_let_in(server, mine)
        assert is_let_in(server, theirs)


def test_callers_reject_a_certificate_that_expires_while_it_is_served(secret: SecretFolder) -> None:
    secret.put(chain=GOOD.chain, key=GOOD.key)
    with running_server(*flags(secret)) as server:
        for seconds in (3, 10, 30, 90):  # on a slow machine it may end before the first call
            short = AUTHORITY.issue(*HERE, end=seconds)
            secret.put(chain=short.chain, key=short.key)
            was_served = is_let_in(server, AUTHORITY.credentials())
            end = server.metric("superpixel_certificate_expiry_timestamp_seconds")
            time.sleep(max(0.0, end + 1 - time.time()))
            assert not is_let_in(server, AUTHORITY.credentials())
            if was_served:
                break
        assert was_served


@pytest.mark.parametrize("name", BROKEN)
def test_no_server_starts_with_a_broken_certificate(secret: SecretFolder, name: str) -> None:
    files, problem = BROKEN[name]
    secret.put(**files)
    run = superpixel("serve", *PORTS, *flags(secret, mutual=True))
    assert run.returncode == 1
    (line,) = messages(run)
    assert problem in line


def test_no_server_starts_without_its_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    run = superpixel("serve", *PORTS, f"--tls-cert-file={missing}", f"--tls-key-file={missing}")
    assert (run.returncode, messages(run)) == (1, [f"{missing}: no such file or directory"])
    run = superpixel("serve", *PORTS, f"--token-file={missing}")
    assert (run.returncode, messages(run)) == (1, [f"{missing}: no such file or directory"])
