"""Settings: their names, their sources, and what is said of wrong ones."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, explain, flag, split_address


def wrong(**values: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    return explain(caught.value)


def test_defaults_listen_on_this_machine_alone() -> None:
    settings = Settings()
    for address in (settings.listen, settings.health_listen, settings.metrics_listen):
        assert split_address(address)[0] == "127.0.0.1"


def test_every_setting_is_described_and_bounded() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not name.startswith(("port", "service_")), name  # Kubernetes sets variables of these names


def test_the_environment_is_read_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERPIXEL_WORKERS", "3")
    monkeypatch.setenv("SUPERPIXEL_GRACE_SECONDS", "1.5")
    monkeypatch.setenv("SUPERPIXEL_PORT", "tcp://10.0.0.1:50051")
    settings = Settings(workers="5")
    assert (settings.workers, settings.grace_seconds) == (5, 1.5)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", -1),
        ("workers", "two"),
        ("max_image_pixels", 2**27 + 1),
        ("max_image_bytes", 0),
        ("grace_seconds", "inf"),
        ("backend", "gpu"),
        ("listen", "localhost"),
        ("listen", "127.0.0.1:65536"),
        ("listen", "::1:50051"),
        ("log_level", "loud"),
    ],
)
def test_a_wrong_value_gets_one_line_with_its_names(name: str, value: object) -> None:
    (line,) = wrong(**{name: value})
    assert line.startswith(f"{flag(name)} ({ENVIRONMENT_PREFIX}{name.upper()}): ")
    assert line.endswith(f"; got {value!r}")
    assert "should" in line or "must" in line


def test_each_wrong_value_gets_its_line() -> None:
    assert len(wrong(workers=-1, backend="gpu", listen="x")) == 3


@pytest.mark.parametrize("unit", ["bytes", "pixels"])
def test_a_budget_has_room_for_the_largest_image(unit: str) -> None:
    (line,) = wrong(**{f"max_inflight_{unit}": 2000, f"max_image_{unit}": 2001})
    assert line == f"max_inflight_{unit} must be at least max_image_{unit}, 2001; got 2000"


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:50051", ("::1", 50051)), ("host.name:1", ("host.name", 1))],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


TLS = {"tls_cert_file": "chain.pem", "tls_key_file": "key.pem"}


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.8.9.10:1", "[::1]:50051", "localhost:1", "LocalHost.:1"]
)
def test_this_machine_may_do_without_tls(listen: str) -> None:
    assert Settings(listen=listen, token_file="tokens").listen == listen


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1", "[::ffff:1.2.3.4]:1"]
)
def test_plaintext_beyond_this_machine_is_to_be_asked_for(listen: str) -> None:
    (line,) = wrong(listen=listen)
    assert line.startswith(f"listen {listen} would be plaintext on a network: ")
    assert Settings(listen=listen, allow_plaintext="true").allow_plaintext
    assert Settings(listen=listen, token_file="tokens", **TLS).tls_key_file == Path("key.pem")
    (line,) = wrong(listen=listen, allow_plaintext=True, token_file="tokens")
    assert line.startswith(f"token_file on listen {listen} would have callers send tokens in plaintext: ")


@pytest.mark.parametrize(
    "values",
    [{"tls_cert_file": "x"}, {"tls_key_file": "x"}, {"tls_client_ca_file": "x"}],
)
def test_files_of_tls_go_together(values: dict[str, str]) -> None:
    (line,) = wrong(**values)
    assert "tls_cert_file" in line
    assert "tls_key_file" in line


def test_an_empty_name_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERPIXEL_TOKEN_FILE", "")
    assert Settings().token_file is None
