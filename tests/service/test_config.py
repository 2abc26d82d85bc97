"""Settings: their names, their sources, and the errors about wrong ones."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from superpixel_service.addresses import split_address
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, flag
from superpixel_service.config_sources import Origin, WrongSettings, explain, load


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
def test_an_error_about_a_value_is_one_line_with_all_names_of_the_setting(name: str, value: object) -> None:
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
def test_loopback_needs_no_tls(listen: str) -> None:
    assert Settings(listen=listen, token_file="tokens").listen == listen


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1", "[::ffff:1.2.3.4]:1"]
)
def test_plaintext_beyond_loopback_needs_allow_plaintext(listen: str) -> None:
    (line,) = wrong(listen=listen)
    assert line.startswith(f"listen {listen} would be plaintext on a network: ")
    assert Settings(listen=listen, allow_plaintext="true").allow_plaintext
    assert Settings(listen=listen, token_file="tokens", **TLS).tls_key_file == Path("key.pem")
    (line,) = wrong(listen=listen, allow_plaintext=True, token_file="tokens")
    assert line.startswith(f"with token_file and listen {listen} callers would send tokens in plaintext: ")


@pytest.mark.parametrize(
    "values",
    [{"tls_cert_file": "x"}, {"tls_key_file": "x"}, {"tls_client_ca_file": "x"}],
)
def test_tls_files_must_be_given_together(values: dict[str, str]) -> None:
    (line,) = wrong(**values)
    assert "tls_cert_file" in line
    assert "tls_key_file" in line


def test_an_empty_name_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERPIXEL_TOKEN_FILE", "")
    assert Settings().token_file is None


def toml(folder: Path, text: str) -> Path:
    path = folder / "superpixel.toml"
    path.write_text(text)
    return path


def wrong_file(path: Path) -> list[str]:
    with pytest.raises(WrongSettings) as caught:
        load({}, path)
    return list(caught.value.lines)


def test_flag_then_environment_then_file_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = toml(tmp_path, 'workers = 2\nmax_streams = 3\ngrace_seconds = 4\nlog_level = "debug"\n')
    monkeypatch.setenv("SUPERPIXEL_WORKERS", "5")
    monkeypatch.setenv("SUPERPIXEL_MAX_STREAMS", "6")
    loaded = load({"workers": "7"}, path)
    values, origins = loaded.settings, loaded.origins
    assert (values.workers, origins["workers"]) == (7, Origin.FLAG)
    assert (values.max_streams, origins["max_streams"]) == (6, Origin.ENVIRONMENT)
    assert (values.grace_seconds, origins["grace_seconds"]) == (4.0, Origin.FILE)
    assert (values.log_level, origins["log_level"]) == ("debug", Origin.FILE)
    assert (values.log_format, origins["log_format"]) == ("auto", Origin.DEFAULT)
    assert set(origins) == set(Settings.model_fields)


def test_the_config_files_flag_wins_over_its_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERPIXEL_CONFIG", str(toml(tmp_path, "workers = 2")))
    assert load({}).settings.workers == 2
    other = tmp_path / "other.toml"
    other.write_text("workers = 3")
    assert load({}, other).settings.workers == 3
    monkeypatch.setenv("SUPERPIXEL_CONFIG", "")
    assert load({}).settings.workers == 0


def test_every_setting_can_be_in_the_file(tmp_path: Path) -> None:
    values = Settings().model_dump(mode="json", exclude_none=True)
    text = "\n".join(
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for name, value in values.items()
    )
    loaded = load({}, toml(tmp_path, text))
    assert loaded.settings == Settings()
    assert {name for name, origin in loaded.origins.items() if origin is Origin.FILE} == set(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "max_image_pixel = 5",
            "{path}: there is no setting 'max_image_pixel'; did you mean max_image_pixels?",
        ),
        ("max-workers = 5", "{path}: there is no setting 'max-workers'; did you mean workers?"),
        ("zzz = 5", "{path}: there is no setting 'zzz'"),
        ("[server]\nworkers = 5", "{path}: there is no setting 'server'"),
        ("workers = true", "workers in {path}: must not be true or false"),
        ("workers = -1", "workers in {path}: should be greater than or equal to 0; got -1"),
        ("listen = 5", "listen in {path}: should be a valid string; got 5"),
        ("workers = [1]", "workers in {path}: should be a valid integer; got [1]"),
    ],
)
def test_a_mistake_in_the_file_gets_a_line_that_names_it(tmp_path: Path, text: str, expected: str) -> None:
    path = toml(tmp_path, text)
    assert wrong_file(path) == [expected.format(path=path)]


def test_each_mistake_in_the_file_gets_a_line(tmp_path: Path) -> None:
    assert len(wrong_file(toml(tmp_path, "a = 1\nb = 2"))) == 2
    assert len(wrong_file(toml(tmp_path, "workers = -1\nmax_streams = 0"))) == 2


def test_invalid_config_files_are_reported(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert wrong_file(missing) == [f"{missing}: no such file or directory"]
    (line,) = wrong_file(toml(tmp_path, "workers = \n"))
    assert "must be TOML: " in line
    assert "line 1" in line
    path = tmp_path / "latin.toml"
    path.write_bytes(b"log_level = '\xe9'")
    assert wrong_file(path) == [f"{path}: must be TOML, in UTF-8"]
