"""Checks of `superpixel http` in an image, with curl. The command starts a server of its own."""

import io
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from deploy.image.check.build import Image
from deploy.image.check.client import COUNT, PHOTO, check_labels
from deploy.image.check.container import Container, running
from deploy.image.check.report import check, say
from PIL import Image as Picture

_COMMAND = ("superpixel", "http", "--listen", "0.0.0.0:8081", "--metrics-listen", "0.0.0.0:9465")
_READY_SECONDS = 120


def check_http_api(image: Image, log: Path) -> None:
    """Run the API in the image, and call it.

    Raises:
        CheckFailed: it does not answer as documented.
    """
    with running(image, log, "--allow-plaintext", "--log-format", "json", entry_point=_COMMAND) as container:
        _wait_until_ready(container)
        _check_answers(container)
        check(
            container.stop() == 0, f"{image.name}: the API does not stop cleanly: {log.read_text()[-2000:]}"
        )
    check('"http_request"' in log.read_text(), f"{image.name}: the API logs no request")
    say(f"{image.name}: the HTTP API answers curl")


def _wait_until_ready(container: Container) -> None:
    """Wait until the readiness probe succeeds."""
    begin = time.monotonic()
    while _curl(container, "/health/ready").returncode != 0:
        ended = container.launcher.poll() is not None
        late = time.monotonic() - begin > _READY_SECONDS
        check(not ended and not late, f"the API is not ready: {container.log.read_text()[-2000:]}")
        time.sleep(0.3)


def _curl(
    container: Container, path: str, *arguments: str, port: int = 8081
) -> "subprocess.CompletedProcess[bytes]":
    """Run curl outside, in the container's network."""
    command = ("curl", "--fail-with-body", "--silent", "--show-error", "--max-time", "60")
    return container.outside(*command, *arguments, f"http://127.0.0.1:{port}{path}")


def _answer(container: Container, path: str, arguments: Sequence[str] = (), port: int = 8081) -> bytes:
    done = _curl(container, path, *arguments, port=port)
    check(done.returncode == 0, f"{container.image.name}: {path}: {done.stdout!r} {done.stderr!r}")
    return done.stdout


def _check_answers(container: Container) -> None:
    for path in ("/health/live", "/v1/openapi.json", "/v1/info"):
        check(json.loads(_answer(container, path)), f"{container.image.name}: {path} is empty")
    form = ("--form", f"image=@{PHOTO}")
    png = _answer(container, f"/v1/segment?counts={COUNT}&encoding=png", form)
    check_labels(np.asarray(Picture.open(io.BytesIO(png))))
    metrics = _answer(container, "/metrics", port=9465).decode()
    check("superpixel_http_requests_total{" in metrics, f"{container.image.name}: no metrics of requests")
