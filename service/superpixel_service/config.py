"""The server's settings: one frozen object, checked before anything starts.

Every setting has one name: `max_image_bytes` here and in a TOML file, `SUPERPIXEL_MAX_IMAGE_BYTES` in the
environment and `--max-image-bytes` on the command line. A flag goes before the environment, that before the
file, and that before the default. Units are in the names. No setting is a secret: certificates, keys and
tokens are in files, which settings name.

Kubernetes puts variables like `SUPERPIXEL_PORT` and `SUPERPIXEL_SERVICE_HOST` into the environment of pods
beside a service named "superpixel", so no setting may be called `port` or `service_...`, and unknown
variables are not an error. Unknown names in the file are.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from superpixel_service.addresses import is_loopback, split_address

ENVIRONMENT_PREFIX = "SUPERPIXEL_"
FILE_VARIABLE = "SUPERPIXEL_CONFIG"
"""Names the TOML file where no flag does."""


def _checked_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_checked_address)]
File = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""Empty as in SUPERPIXEL_TOKEN_FILE= is none."""


class Settings(BaseSettings):
    """What can be set about a server. Every default is safe on a laptop."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=ENVIRONMENT_PREFIX, validate_default=True, extra="forbid"
    )

    listen: Address = Field(default="127.0.0.1:50051", description="where calls are served (HOST:PORT)")
    health_listen: Address = Field(
        default="127.0.0.1:50052",
        description="where health alone is served, on threads of its own (HOST:PORT)",
    )
    metrics_listen: Address = Field(
        default="127.0.0.1:9464", description="where Prometheus finds /metrics, over HTTP (HOST:PORT)"
    )
    tls_cert_file: File = Field(
        default=None,
        description="the server's certificate with those that signed it (PEM); turns TLS on; read again when "
        "it changes",
    )
    tls_key_file: File = Field(default=None, description="its key (PEM, not encrypted)")
    tls_client_ca_file: File = Field(
        default=None,
        description="callers must show a certificate that one of these authorities signed (PEM)",
    )
    token_file: File = Field(
        default=None,
        description="callers must send a token of this file (`superpixel token new`); read again when it "
        "changes",
    )
    allow_plaintext: bool = Field(
        default=False, description="listen without TLS beyond this machine, too: true or false"
    )
    backend: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="engine: cuda, cpu, or auto: cuda where there is a GPU"
    )
    device: int = Field(default=0, ge=0, le=255, description="index of the GPU, with backend cuda")
    max_device_bytes: int = Field(
        default=0,
        ge=0,
        description="GPU memory for one image, of each worker; 0: what the GPU has",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=256,
        description="images of one lane worked on at the same time; 0: one a core",
    )
    threads_per_image: int = Field(
        default=0,
        ge=0,
        le=256,
        description="threads for an image that is worked on alone; 0: one a core",
    )
    bulk_alone_pixels: int = Field(
        default=8_000_000, ge=0, description="larger bulk images run alone, on all threads"
    )
    bulk_patience_seconds: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="bulk work held up so long by interactive work goes on by one stage",
    )
    max_image_bytes: int = Field(
        default=64 << 20, ge=1 << 10, le=1 << 30, description="largest image, as sent"
    )
    max_image_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1 << 27,
        description="largest image; its engine memory is about 48 bytes a pixel",
    )
    refinement_max_pixels: int = Field(
        default=1_000_000,
        ge=0,
        le=1 << 27,
        description="largest image for counts above its base count, which cost about 1.2 s a megapixel",
    )
    max_inflight_calls: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="images waiting or being worked on; 16 more calls may be open, each with a thread",
    )
    max_inflight_pixels: int = Field(
        default=100_000_000, ge=1, description="pixels of the images waiting or being worked on"
    )
    max_inflight_bytes: int = Field(
        default=256 << 20, ge=1, description="bytes of the images waiting or being worked on"
    )
    max_wait_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="while interactive work waits longer, by the server's measured speed, calls are refused",
    )
    max_streams: int = Field(
        default=16, ge=1, le=1024, description="streams served at the same time; each holds two threads"
    )
    stream_max_inflight: int = Field(
        default=8,
        ge=1,
        le=1024,
        description="images of one stream taken in and not yet answered; beyond that its sender is held back",
    )
    cache_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="memory for answers that may be asked for again; 0: none is kept",
    )
    max_connection_age_seconds: float = Field(
        default=600.0,
        ge=1,
        le=1e6,
        description="a connection or a stream this old is ended, so that clients spread over new servers",
    )
    step_limit_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="an engine that takes longer over one step is dead, and the server ends",
    )
    grace_seconds: float = Field(
        default=25.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="how long a stopping server may take to finish admitted work",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="off, or otlp: send OpenTelemetry spans, where and how many by the variables OTEL_*",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal"
    )

    @property
    def lane_workers(self) -> int:
        """Images of one lane worked on at the same time, at least 1."""
        return self.workers or len(os.sched_getaffinity(0))

    @model_validator(mode="after")
    def _callers_are_protected(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both or none")
        if self.tls_cert_file is not None:
            return self
        if self.tls_client_ca_file is not None:
            raise ValueError("tls_client_ca_file needs tls_cert_file and tls_key_file")
        if is_loopback(split_address(self.listen)[0]):
            return self
        if self.token_file is not None:
            raise ValueError(
                f"token_file on listen {self.listen} would have callers send tokens in plaintext: set "
                "tls_cert_file and tls_key_file, or listen on 127.0.0.1"
            )
        if not self.allow_plaintext:
            raise ValueError(
                f"listen {self.listen} would be plaintext on a network: set tls_cert_file and tls_key_file, "
                "or allow_plaintext"
            )
        return self

    @model_validator(mode="after")
    def _budgets_fit_an_image(self) -> Self:
        # Otherwise an image could be within its limits and yet never be admitted.
        for unit in ("bytes", "pixels"):
            budget, largest = getattr(self, f"max_inflight_{unit}"), getattr(self, f"max_image_{unit}")
            if budget < largest:
                raise ValueError(
                    f"max_inflight_{unit} must be at least max_image_{unit}, {largest}; got {budget}"
                )
        return self


def flag(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


class Origin(StrEnum):
    """Where a setting's value comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class WrongSettings(Exception):
    """The server cannot be set up so.

    Attributes:
        lines: one for each thing that is wrong.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each comes from.

    Attributes:
        file: the TOML file that was read; None: none.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None


def load(flags: Mapping[str, str], file: Path | None = None) -> Loaded:
    """The settings by flags, environment, file and defaults, the first of them that has a value.

    Args:
        flags: values given on the command line, by the settings' names.
        file: the TOML file; None: the one that `SUPERPIXEL_CONFIG` names, if any.

    Raises:
        WrongSettings: something is wrong with them, or with the file.
    """
    if file is None and os.environ.get(FILE_VARIABLE):
        file = Path(os.environ[FILE_VARIABLE])
    layers = {
        Origin.FILE: {} if file is None else _read_file(file),
        Origin.ENVIRONMENT: EnvSettingsSource(Settings)(),
        Origin.FLAG: flags,
    }
    origins = dict.fromkeys(Settings.model_fields, Origin.DEFAULT)
    values: dict[str, object] = {}
    for origin, layer in layers.items():
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        return Loaded(Settings(**values), origins, file)  # type: ignore[arg-type]
    except ValidationError as error:
        from_file = {name for name, origin in origins.items() if origin is Origin.FILE}
        raise WrongSettings(*explain(error, from_file, file)) from None


def _read_file(path: Path) -> dict[str, object]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongSettings(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise WrongSettings(f"{path}: must be TOML, in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings(f"{path}: must be TOML: {error}") from None
    problems = [_problem(path, name, value) for name, value in values.items()]
    lines = [problem for problem in problems if problem is not None]
    if lines:
        raise WrongSettings(*lines)
    return values


def _problem(path: Path, name: str, value: object) -> str | None:
    field = Settings.model_fields.get(name)
    if field is None:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), Settings.model_fields, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"{path}: there is no setting {name!r}{meant}"
    if isinstance(value, bool) and field.annotation is not bool:  # which would pass for 0 or 1
        return f"{name} in {path}: must not be true or false"
    return None


def explain(error: ValidationError, from_file: Collection[str] = (), file: Path | None = None) -> list[str]:
    """One line for each wrong setting: its names, and what would be right.

    Args:
        error: what is wrong.
        from_file: names of the settings whose values come from `file`.
        file: the settings' file.
    """
    lines = []
    for problem in error.errors(include_url=False):
        text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not problem["loc"]:
            lines.append(text)
            continue
        name = str(problem["loc"][0])
        names = (
            f"{name} in {file}" if name in from_file else f"{flag(name)} ({ENVIRONMENT_PREFIX}{name.upper()})"
        )
        lines.append(f"{names}: {text}; got {problem['input']!r}")
    return lines
