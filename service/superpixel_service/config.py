"""The server's settings: one frozen object, checked before anything starts.

Every setting has one name: `max_image_bytes` here, `SUPERPIXEL_MAX_IMAGE_BYTES` in the environment and
`--max-image-bytes` on the command line, which wins. Units are in the names. Kubernetes puts variables like
`SUPERPIXEL_PORT` and `SUPERPIXEL_SERVICE_HOST` into the environment of pods beside a service named
"superpixel", so no setting may be called `port` or `service_...`, and unknown variables are not an error.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ENVIRONMENT_PREFIX = "SUPERPIXEL_"

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s/]+):(?P<port>\d{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"; IPv6 hosts stand in brackets, which are taken off.

    Raises:
        ValueError: it is not of that form.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:50051 or [::1]:50051; port 0 takes any free one")
    return match["host"].strip("[]"), int(match["port"])


def _checked_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_checked_address)]


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
    backend: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="engine: auto, cpu or cuda")
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
        default=128, ge=1, le=4096, description="calls waiting or being worked on; each holds a thread"
    )
    max_inflight_pixels: int = Field(
        default=100_000_000, ge=1, description="pixels of the images waiting or being worked on"
    )
    max_inflight_bytes: int = Field(
        default=256 << 20, ge=1, description="bytes of the images waiting or being worked on"
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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal"
    )

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


def explain(error: ValidationError) -> list[str]:
    """One line for each wrong setting: its names, and what would be right."""
    lines = []
    for problem in error.errors(include_url=False):
        text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not problem["loc"]:
            lines.append(text)
            continue
        name = str(problem["loc"][0])
        lines.append(f"{flag(name)} ({ENVIRONMENT_PREFIX}{name.upper()}): {text}; got {problem['input']!r}")
    return lines
