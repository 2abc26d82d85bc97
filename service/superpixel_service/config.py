"""The server's settings: one frozen object, checked before anything starts.

Every setting has one name: `max_image_bytes` here and in a TOML file, `SUPERPIXEL_MAX_IMAGE_BYTES` in the
environment, and `--max-image-bytes` on the command line. A flag overrides the environment, the environment
overrides the file, and the file overrides the default. Units are in the names. No setting is a secret:
certificates, keys and tokens are in files, and settings name the files.

Kubernetes sets variables like `SUPERPIXEL_PORT` and `SUPERPIXEL_SERVICE_HOST` in pods beside a service named
"superpixel". So no setting may be called `port` or `service_...`, and unknown variables are not an error.
Unknown names in the file are an error.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from superpixel_service.addresses import is_loopback, split_address
from superpixel_service.budgets import (
    default_budgets,
    largest_photo_bytes,
    most_workers,
    needed_bytes,
)
from superpixel_service.resources import usable_cores, usable_memory

ENVIRONMENT_PREFIX = "SUPERPIXEL_"

MAX_WINDOW_PIXELS = 1 << 24
"""Largest window of a store that the setting permits; as in `large.store`."""

WINDOW_BYTES = 64
"""Memory per pixel of a window of a store while it is read."""

TOKEN_SHARE = 0.75
"""Largest part of a limit that one token may use by default."""


def _checked_address(address: str) -> str:
    split_address(address)
    return address


_DERIVED_IF_ZERO = ("max_image_memory_bytes", "max_inflight_memory_bytes")

Address = Annotated[str, AfterValidator(_checked_address)]
File = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A path; an empty value, as in SUPERPIXEL_TOKEN_FILE=, means none."""


class Settings(BaseSettings):
    """The settings of a server. Every default is safe on a laptop."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=ENVIRONMENT_PREFIX, validate_default=True, extra="forbid"
    )

    listen: Address = Field(default="127.0.0.1:50051", description="address of the gRPC service (HOST:PORT)")
    health_listen: Address = Field(
        default="127.0.0.1:50052",
        description="address of a port that serves health alone, on its own threads (HOST:PORT)",
    )
    metrics_listen: Address = Field(
        default="127.0.0.1:9464", description="address of Prometheus' /metrics, over HTTP (HOST:PORT)"
    )
    tls_cert_file: File = Field(
        default=None,
        description="the server's certificate with its chain (PEM); turns TLS on; reloaded when it changes",
    )
    tls_key_file: File = Field(default=None, description="key of the certificate (PEM, not encrypted)")
    tls_client_ca_file: File = Field(
        default=None,
        description="authorities (PEM); callers must present a certificate that one of them signed",
    )
    token_file: File = Field(
        default=None,
        description="callers must send a token from this file (`superpixel token new`); reloaded when it "
        "changes",
    )
    allow_shared_files: bool = Field(
        default=False,
        description="accept a key file and a token file that other users may read or change: true or false",
    )
    allow_plaintext: bool = Field(
        default=False, description="allow listening without TLS beyond this machine: true or false"
    )
    backend: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="engine: cuda, cpu, or auto: cuda if there is a GPU"
    )
    device: int = Field(default=0, ge=0, le=255, description="index of the GPU, with backend cuda")
    max_device_bytes: int = Field(
        default=0,
        ge=0,
        description="GPU memory for one image, per worker; 0: half of the GPU's",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=256,
        description="images in work at the same time, per lane; 0: one per core (CPU quota included), if the "
        "memory suffices; on a GPU 4 to 8",
    )
    threads_per_image: int = Field(
        default=0,
        ge=0,
        le=256,
        description="threads for an image if no other is in work; 0: one per core (CPU quota included)",
    )
    bulk_alone_pixels: int = Field(
        default=8_000_000, ge=0, description="bulk images above this size run alone, on all threads"
    )
    bulk_patience_seconds: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="longest time that interactive work may pause bulk work before it advances one stage",
    )
    max_image_bytes: int = Field(
        default=64 << 20, ge=1 << 10, le=1 << 30, description="largest image, as sent"
    )
    max_image_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1 << 27,
        description="largest image; a photograph takes up to 72 bytes of memory per pixel",
    )
    refinement_max_pixels: int = Field(
        default=1_000_000,
        ge=0,
        le=1 << 27,
        description="largest image for counts above its base count, which take about 1.2 s per megapixel",
    )
    max_inflight_calls: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="images waiting or in work; 16 more calls may be open, each with a thread",
    )
    max_inflight_pixels: int = Field(
        default=100_000_000, ge=1, description="pixels of the images waiting or in work"
    )
    max_inflight_bytes: int = Field(
        default=256 << 20, ge=1, description="bytes of the images waiting or in work"
    )
    max_wait_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="calls are rejected while interactive work would wait longer, at the measured speed",
    )
    max_streams: int = Field(
        default=16, ge=1, le=1024, description="streams open at the same time; each occupies two threads"
    )
    max_calls_per_token: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="open calls of one token, each with one image; 0: three quarters of max_inflight_calls",
    )
    max_streams_per_token: int = Field(
        default=0, ge=0, le=1024, description="open streams of one token; 0: three quarters of max_streams"
    )
    stream_idle_seconds: float = Field(
        default=300.0,
        ge=1,
        le=1e6,
        description="a stream ends if no image of it arrives, is worked on or is read for this long; at most "
        "30 s while more than half of max_streams are idle",
    )
    stream_max_inflight: int = Field(
        default=8,
        ge=1,
        le=1024,
        description="images of one stream read and not yet answered; beyond that its sender must wait",
    )
    max_image_memory_bytes: int = Field(
        default=0,
        ge=0,
        description="largest memory for one image, which grows with its pixels, its regions and what is "
        "asked; 0: follows from max_inflight_memory_bytes",
    )
    max_inflight_memory_bytes: int = Field(
        default=0,
        ge=0,
        description="memory for all images in work; 0: from the memory that the process may use",
    )
    max_answer_bytes: int = Field(
        default=128 << 20, ge=1 << 10, le=(2 << 30) - 1, description="largest answer, as sent"
    )
    max_unsent_bytes: int = Field(
        default=256 << 20,
        ge=1 << 10,
        description="memory of large answers that callers have not read yet; answers of calls and of streams "
        "have this much each",
    )
    cache_bytes: int = Field(
        default=64 << 20,
        ge=0,
        description="memory for answers kept for repeated requests; 0: none",
    )
    stores: str = Field(
        default="",
        description="folder, or URL of a bucket and prefix, of stores (`superpixel large`) that callers may "
        "read by name; empty: none",
    )
    max_store_calls: int = Field(
        default=4,
        ge=1,
        le=256,
        description="calls of each method of StoreService that are open at the same time",
    )
    max_window_pixels: int = Field(
        default=4_000_000,
        ge=1,
        le=MAX_WINDOW_PIXELS,
        description="largest window of a store; it takes about 64 bytes of memory per pixel",
    )
    max_store_bytes: int = Field(
        default=2 << 30,
        ge=1 << 10,
        description="memory of the merge trees and measurements of open stores, 72 bytes per base region; "
        "larger stores are rejected",
    )
    store_cache_bytes: int = Field(
        default=64 << 20, ge=0, description="memory for windows of stores kept for repeated requests; 0: none"
    )
    max_connections: int = Field(
        default=2048,
        ge=1,
        le=1 << 16,
        description="connections to the main port at the same time; fewer if the limit of open files is low",
    )
    max_connection_age_seconds: float = Field(
        default=600.0,
        ge=1,
        le=1e6,
        description="connections and streams end at this age, so that clients spread over new servers",
    )
    step_limit_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="if the engine takes longer for one step it counts as dead, and the server ends",
    )
    grace_seconds: float = Field(
        default=25.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="longest time that a stopping server spends on admitted work",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="off, or otlp: send OpenTelemetry spans; OTEL_* variables say where and how many",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal"
    )

    @property
    def lane_workers(self) -> int:
        """Images of one lane in work at the same time, at least 1."""
        return self.workers or most_workers(usable_cores(), self.max_inflight_memory_bytes)

    @property
    def needed_bytes(self) -> int:
        """Memory of this server at all its limits, without messages that are still arriving."""
        return (
            needed_bytes(
                workers=self.lane_workers,
                images=self.max_inflight_memory_bytes,
                messages=self.max_inflight_bytes,
                unsent=self.max_unsent_bytes,
                calls=self.max_inflight_calls,
                cache=self.cache_bytes,
            )
            + self._store_bytes
        )

    @property
    def _store_bytes(self) -> int:
        """Memory of the stores at all limits."""
        if not self.stores:
            return 0
        windows = self.max_store_calls * self.max_window_pixels * WINDOW_BYTES
        return self.max_store_bytes + self.store_cache_bytes + windows

    @property
    def token_calls(self) -> int:
        """Open calls of one token, at least 1."""
        return self.max_calls_per_token or max(1, int(TOKEN_SHARE * self.max_inflight_calls))

    @property
    def token_streams(self) -> int:
        """Open streams of one token, at least 1."""
        return self.max_streams_per_token or max(1, int(TOKEN_SHARE * self.max_streams))

    @property
    def token_store_calls(self) -> int:
        """Open calls about stores of one token, at least 1."""
        return max(1, int(TOKEN_SHARE * self.max_store_calls))

    def for_backend(self, backend: str) -> Self:
        """The settings with the number of workers that suits the backend in use, "cpu" or "cuda"."""
        if backend != "cuda" or self.workers != 0:
            return self
        # More images side by side take more of the GPU's memory, and the GPU is busy with fewer.
        return self.model_copy(update={"workers": min(max(usable_cores(), 4), 8)})

    @model_validator(mode="after")
    def _fill_budgets(self) -> Self:
        names = self.model_fields_set - {name for name in _DERIVED_IF_ZERO if getattr(self, name) == 0}
        given = {name: value for name in names if isinstance(value := getattr(self, name), int)}
        # The model is frozen for its users, not for its own validation.
        self.__dict__.update(default_budgets(usable_memory(), given))
        return self

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
                f"with token_file and listen {self.listen} callers would send tokens in plaintext: set "
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
        # Otherwise an image within its limits could never be admitted.
        for unit in ("bytes", "pixels"):
            budget, largest = getattr(self, f"max_inflight_{unit}"), getattr(self, f"max_image_{unit}")
            if budget < largest:
                raise ValueError(
                    f"max_inflight_{unit} must be at least max_image_{unit}, {largest}; got {budget}"
                )
        least = largest_photo_bytes(self.max_image_pixels)
        if self.max_image_memory_bytes < least:
            raise ValueError(
                f"max_image_memory_bytes must be at least {least} for images of {self.max_image_pixels} "
                f"pixels (max_image_pixels); got {self.max_image_memory_bytes}"
            )
        if self.max_inflight_memory_bytes < self.max_image_memory_bytes:
            raise ValueError(
                "max_inflight_memory_bytes must be at least max_image_memory_bytes, "
                f"{self.max_image_memory_bytes}; got {self.max_inflight_memory_bytes}"
            )
        return self


def flag(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")
