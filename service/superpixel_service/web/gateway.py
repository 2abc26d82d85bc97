"""The gateway: serves the page's files, and passes images from `/api` on to a gRPC server.

GET  /api/server                         version, engines and limits of the server, as JSON, and
                                         `page_engine`: whether the page has an engine of its own
POST /api/segment?area=A&compactness=K   takes an image file; returns its label map with the whole hierarchy
    &prior=BYTES&prior_mode=M&prior_weight=W&edges=BYTES&edge_weight=W&importance=BYTES
                                         maps that the superpixels follow, after the image in the body
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from superpixel_service.client import AsyncClient, Segmentation, SegmentError
from superpixel_service.contract import Reason
from superpixel_service.web import files, problems
from superpixel_service.web.files import PARTS, STATIC
from superpixel_service.web.guard import Guard
from superpixel_service.web.problems import Problem
from superpixel_service.web.query import Maps, read_number
from superpixel_service.web.uploads import Uploads, caller_left

DEFAULT_AREA = 64.0
"""Default average size of the finest superpixels sent, in pixels: 8 x 8. At this size and above there are no
specks of 4 pixels or fewer; at 48 pixels a sixth are specks, and of all base regions (33 pixels on average) a
quarter."""

_CALLS = 8
"""Calls to the server at the same time; further requests wait."""


def build(open_client: Callable[[], AsyncClient], names: Collection[str] = ()) -> Starlette:
    """Build the application.

    Args:
        open_client: creates the client, in the application's event loop; the application closes it.
        names: host names of the gateway, besides localhost and IP addresses.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_client() as client:
            yield {"client": client, "uploads": Uploads(), "calls": asyncio.Semaphore(_CALLS)}

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/favicon.ico", _icon),
            Route("/api/server", _server),
            Route("/api/segment", _segment, methods=["POST"]),
            *(Mount(f"/{part}", StaticFiles(directory=STATIC / part)) for part in PARTS),
        ],
        middleware=[Middleware(Guard, names=frozenset(name.lower() for name in names))],
        exception_handlers={
            Problem: _answer_problem,
            SegmentError: _answer_segment_error,
            HTTPException: _answer_http_exception,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would go to the Host that the request names
    return app


async def _page(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "index.html")


async def _icon(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "icon.svg", media_type="image/svg+xml")


async def _server(request: Request) -> Response:
    info = await _client(request).server_info(timeout=10.0)
    facts = {**dataclasses.asdict(info), "page_engine": files.HAS_ENGINE}
    return JSONResponse(facts, headers={"cache-control": "no-store"})


async def _segment(request: Request) -> Response:
    _check_content(request)
    client = _client(request)
    area = read_number(request, "area")
    compactness = read_number(request, "compactness")
    maps = Maps.read(request)
    max_bytes = (await client.server_info(timeout=10.0)).max_image_bytes
    # A slow upload keeps no call waiting.
    async with request.state.uploads.receive(request, max_bytes) as body, request.state.calls:
        image, guidance = maps.split(body)
        options: dict[str, Any] = {"guidance": guidance}
        if compactness is not None:
            options["compactness"] = compactness
        segmentation = _segment_image(client, request, image, DEFAULT_AREA if area is None else area, options)
        result = await _while_connected(request, segmentation)
    facts = {
        "count": result.count,
        "baseCount": result.base_count,
        "width": result.width,
        "height": result.height,
        "backend": result.backend,
        "algorithmVersion": result.algorithm_version,
        "notices": [notice.message for notice in result.notices],
    }
    timings = dataclasses.asdict(result.timings)
    headers = {
        "cache-control": "no-store",
        "superpixel-facts": json.dumps(facts),  # ASCII
        "server-timing": ", ".join(f"{stage};dur={1000 * seconds:.2f}" for stage, seconds in timings.items()),
    }
    return Response(result.spx, headers=headers, media_type="application/octet-stream")


async def _segment_image(
    client: AsyncClient, request: Request, image: bytes, area: float, options: dict[str, Any]
) -> Segmentation:
    options["request_id"] = request.state.request_id
    options["first_frame_only"] = True  # the page draws this one
    try:
        return await client.segment(image, areas=area, **options)
    except SegmentError as error:
        if error.reason != Reason.COUNT_ABOVE_BASE:
            raise
        # This image has fewer base regions than the area asks for, so send all of them.
        return await client.segment(image, counts=int(error.metadata["base_count"]), **options)


def _check_content(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/") or request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body must be the bytes of an image file, and of its maps, and nothing else",
        )


async def _while_connected(request: Request, call: Any) -> Segmentation:
    """Wait for the result of `call`. If the browser disconnects, cancel the call, also on the server."""
    segmenting = asyncio.ensure_future(call)
    # The body has been read, so the next event is the disconnect.
    disconnected = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({segmenting, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not segmenting.done():
            raise caller_left()
        result: Segmentation = await segmenting
        return result
    finally:
        for task in (segmenting, disconnected):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SegmentError):
                await task


def _client(request: Request) -> AsyncClient:
    client: AsyncClient = request.state.client
    return client


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 (registered for this type)
    return error.response(request.state.request_id)


async def _answer_segment_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SegmentError)  # noqa: S101
    return problems.from_segment_error(error).response(request.state.request_id)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return problems.from_http_exception(error).response(request.state.request_id)
