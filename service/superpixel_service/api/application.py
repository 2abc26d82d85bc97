"""The application: routes, middleware, and the state that its requests share."""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from superpixel_service import __version__
from superpixel_service.api import answers
from superpixel_service.api.callers import INFO_SECONDS, Callers, answer_segment_error
from superpixel_service.api.kept import KeptMaps
from superpixel_service.api.metrics import HttpMetrics
from superpixel_service.api.openapi import describe
from superpixel_service.api.parameters import ENCODINGS, UNKNOWN
from superpixel_service.api.segmenting import MAP_HEADER, segment
from superpixel_service.api.selecting import select
from superpixel_service.api.turns import Turns
from superpixel_service.client import AsyncClient, SegmentError
from superpixel_service.http import problems
from superpixel_service.http.guard import Ended, Guard, log_request
from superpixel_service.http.origin import Site
from superpixel_service.http.problems import Problem
from superpixel_service.http.uploads import Uploads
from superpixel_service.security.tokens import Tokens

DEFAULT_KEEP_BYTES = 256 << 20
DEFAULT_CALLS = 32

_SELECTS = 2
"""Smart selects at the same time; they occupy the interpreter, which the other requests need too."""

_ENCODES = 2
"""Answers that are encoded at the same time: one in JSON may take some hundred megabytes."""

_POLICY = "default-src 'none'; frame-ancestors 'none'"
_EVENT = "http_request"
_PREFLIGHT_SECONDS = 600
_EXPOSED = ("etag", "retry-after", "server-timing", "superpixel-facts", MAP_HEADER, "x-request-id")


@dataclass(frozen=True, slots=True)
class Options:
    """How the API answers.

    Attributes:
        tokens: the callers' tokens; None: the server alone checks tokens.
        own_token: whether the client has a token, for callers without one.
        names: host names of the API, besides localhost and IP addresses.
        origins: origins whose pages may call, such as "https://labels.example"; "*": every origin.
        calls: calls to the server at the same time.
        keep_bytes: memory for kept maps; 0: none are kept.
        registry: gets the metrics.
    """

    tokens: Tokens | None = None
    own_token: bool = False
    names: Collection[str] = ()
    origins: Collection[str] = ()
    calls: int = DEFAULT_CALLS
    keep_bytes: int = DEFAULT_KEEP_BYTES
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def build(open_client: Callable[[], AsyncClient], options: Options) -> Starlette:
    """Build the application.

    Args:
        open_client: creates the client, in the application's event loop; the application closes it.
        options: how it answers.
    """
    routes = [
        Route("/v1/segment", segment, methods=["POST"]),
        Route("/v1/select", select, methods=["POST"]),
        Route("/v1/info", _info),
        Route("/v1/openapi.json", _openapi),
        Route("/health/live", _live),
        Route("/health/ready", _ready),
    ]
    metrics = HttpMetrics(options.registry, [route.path for route in routes])
    uploads, kept = Uploads(), KeptMaps(options.keep_bytes)
    calls, selects, encodes = Turns(options.calls), Turns(_SELECTS), Turns(_ENCODES, options.calls)
    description = json.dumps(describe(needs_token=options.tokens is not None)).encode()
    metrics.watch(
        lambda: {
            "superpixel_http_open_calls": calls.open,
            "superpixel_http_open_selects": selects.open,
            "superpixel_http_upload_bytes": uploads.byte_count,
            "superpixel_http_kept_maps": len(kept),
            "superpixel_http_kept_bytes": kept.byte_count,
        }
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_client() as client:
            yield {
                "client": client,
                "callers": Callers(client, options.tokens, own_token=options.own_token),
                "uploads": uploads,
                "kept": kept,
                "calls": calls,
                "selects": selects,
                "encodes": encodes,
                "description": description,
            }

    def report(ended: Ended) -> None:
        metrics.ended(ended)
        log_request(_EVENT, ended)

    site = Site(
        frozenset(name.lower() for name in options.names),
        "pages of this origin may not call; start the API with --cors-origin ORIGIN to allow them",
        frozenset(options.origins),
    )
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, site=site, policy=lambda _path: _POLICY, event=_EVENT, report=report),
            *_cross_origin(options.origins),
        ],
        exception_handlers={**problems.HANDLERS, SegmentError: answer_segment_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would go to the Host that the request names
    return app


def _cross_origin(origins: Collection[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "if-none-match", "x-request-id"],
            expose_headers=list(_EXPOSED),
            max_age=_PREFLIGHT_SECONDS,
        )
    ]


def _check_no_parameters(request: Request) -> None:
    for name in request.query_params:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"{name[:40]!r} is no parameter; this method has none",
            reason=UNKNOWN,
            field=name[:40],
        )


async def _info(request: Request) -> Response:
    _check_no_parameters(request)
    caller = request.state.callers.admit(request, "info")
    info = dataclasses.asdict(await caller.info())
    api = {
        "version": __version__,
        "encodings": ENCODINGS,
        "keep_bytes": request.state.kept.max_bytes,
    }
    return JSONResponse({**info, "api": api}, headers={"cache-control": "no-store"})


async def _openapi(request: Request) -> Response:
    _check_no_parameters(request)
    description: bytes = request.state.description
    tag = answers.tag_of({}, {}, (len(description),))
    if answers.is_known(request, tag):
        return answers.not_modified(tag)
    return answers.respond(request, description, answers.MEDIA_TYPES["json"], tag, {})


async def _live(_request: Request) -> Response:
    return JSONResponse({"status": "alive"}, headers={"cache-control": "no-store"})


async def _ready(request: Request) -> Response:
    """200 if the gRPC server accepts work, else 503."""
    try:
        ready = await request.state.client.health(timeout=INFO_SECONDS)
    except SegmentError:
        ready = False
    if not ready:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the segmentation server does not accept work")
    return JSONResponse({"status": "ready"}, headers={"cache-control": "no-store"})
