"""The parameters and the body of a request for superpixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Self

from starlette.requests import Request

from superpixel_service.client import Guidance
from superpixel_service.http.problems import Problem

MAPS = ("edges", "prior", "importance")
"""The maps of a guidance, in the order in which they follow the image in the body."""

_LARGEST = 2**31 - 1


def read_number(request: Request, name: str) -> float | None:
    """The parameter of this name as a finite number; None if it is missing."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _wrong(name, f"must be a number, got {text[:40]!r}")
    return value


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps in a body, after the image, and how superpixels follow them.

    Attributes:
        sizes: the size in bytes of each map, by its name, in the order of `MAPS`.
        weights: `edge_weight` and `prior_weight`; None: the server's default.
        prior_mode: as in `Guidance`.
    """

    sizes: Mapping[str, int]
    weights: Mapping[str, int | None]
    prior_mode: Literal["soft", "hard"]

    @classmethod
    def read(cls, request: Request) -> Self:
        """Read the parameters of a request."""
        sizes = {name: size for name in MAPS if (size := _whole(request, name, least=1)) is not None}
        weights = {name: _whole(request, name) for name in ("edge_weight", "prior_weight")}
        mode = request.query_params.get("prior_mode", "soft")
        if mode not in ("soft", "hard"):
            raise _wrong("prior_mode", f"must be soft or hard, got {mode[:40]!r}")
        return cls(sizes, weights, "hard" if mode == "hard" else "soft")

    def split(self, body: bytes) -> tuple[bytes, Guidance | None]:
        """The image, and the guidance that follows it in the body."""
        if not self.sizes:
            return body, None
        at = len(body) - sum(self.sizes.values())
        if at < 0:
            text = f"the body has {len(body)} bytes, but its maps have {sum(self.sizes.values())}"
            raise _wrong(next(iter(self.sizes)), text)
        image = body[:at]
        fields: dict[str, Any] = {**self.weights, "prior_mode": self.prior_mode}
        for name, size in self.sizes.items():
            fields[name] = body[at : at + size]
            at += size
        return image, Guidance(**fields)


def _whole(request: Request, name: str, least: int = 0) -> int | None:
    """The parameter of this name as an integer from `least` on; None if it is missing."""
    text = request.query_params.get(name)
    if text is None:
        return None
    value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else -1
    if not least <= value <= _LARGEST:
        raise _wrong(name, f"must be an integer from {least} to {_LARGEST}, got {text[:40]!r}")
    return value


def _wrong(name: str, text: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"{name}: {text}", field=name)
