"""The gateway: the page's files, and `/api`, which hands images on to a server as annotation backends do.

GET  /api/server                  what the server says about itself
POST /api/segment?compactness=K   an image file in, its label map with the whole hierarchy out
"""

import asyncio
import contextlib
import dataclasses
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from superpixel_service.client import AsyncClient, Segmentation, SegmentError
from superpixel_service.contract import Reason
from superpixel_service.web import problems
from superpixel_service.web.guard import Guard
from superpixel_service.web.problems import Problem

STATIC = Path(__file__).parent / "static"
"""The page, the package `superpixel-map` and photographs: frontend/page, frontend/src, examples/photos."""

DEFAULT_AREA = 64.0
"""Average size of the finest superpixels sent, in pixels: 8 x 8. A quarter of all base regions (33 pixels on
average) are specks of 4 pixels or fewer, at 48 pixels still a sixth; from 64 on there are none."""

_SLACK_BYTES = 1 << 20
"""An image that is a little too large is refused by the server itself, which says why."""

_UPLOADS = 8
"""Images held in memory at the same time; more of them wait."""

_UPLOAD_SECONDS = 60.0


def build(open_client: Callable[[], AsyncClient]) -> Starlette:
    """The application.

    Args:
        open_client: makes the client, in the application's event loop; the application closes it.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with open_client() as client:
            yield {"client": client, "uploads": asyncio.Semaphore(_UPLOADS)}

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/favicon.ico", _icon),
            Route("/api/server", _server),
            Route("/api/segment", _segment, methods=["POST"]),
            *(Mount(f"/{part}", StaticFiles(directory=STATIC / part)) for part in ("page", "src", "samples")),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={
            Problem: _answer_problem,
            SegmentError: _answer_refusal,
            HTTPException: _answer_http,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # it would send callers to whatever Host they named
    return app


async def _page(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "index.html")


async def _icon(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "icon.svg", media_type="image/svg+xml")


async def _server(request: Request) -> Response:
    info = await _client(request).server_info(timeout=10.0)
    return JSONResponse(dataclasses.asdict(info), headers={"cache-control": "no-store"})


async def _segment(request: Request) -> Response:
    _check_content(request)
    client = _client(request)
    given_area = _number(request, "area")
    area = DEFAULT_AREA if given_area is None else given_area
    compactness = _number(request, "compactness")
    async with request.state.uploads:
        image = await _image(request, (await client.server_info(timeout=10.0)).max_image_bytes)
        result = await _while_connected(request, _superpixels(client, request, image, area, compactness))
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
        "server-timing": ", ".join(f"{stage};dur={1000 * took:.2f}" for stage, took in timings.items()),
    }
    return Response(result.spx, headers=headers, media_type="application/octet-stream")


async def _superpixels(
    client: AsyncClient, request: Request, image: bytes, area: float, compactness: float | None
) -> Segmentation:
    wanted: dict[str, Any] = {} if compactness is None else {"compactness": compactness}
    wanted["request_id"] = request.state.request_id
    try:
        return await client.segment(image, areas=area, **wanted)
    except SegmentError as error:
        if error.reason != Reason.COUNT_ABOVE_BASE:
            raise
        # The whole base map is the finest there is of this image.
        return await client.segment(image, counts=int(error.metadata["base_count"]), **wanted)


def _check_content(request: Request) -> None:
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/") or request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be the bytes of an image file and nothing else"
        )


async def _image(request: Request, max_bytes: int) -> bytes:
    """The request's body, refused as soon as it is known to be too large."""
    limit = max_bytes + _SLACK_BYTES
    too_large = Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the image is too large: at most {max_bytes} bytes are taken",
        reason=Reason.IMAGE_TOO_MANY_BYTES.value,
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the image did not arrive in time") from None
    except ClientDisconnect:
        raise _gone() from None
    return bytes(body)


async def _while_connected(request: Request, call: Any) -> Segmentation:
    """The call's result; it is cancelled, on the server too, when the browser stops waiting for it."""
    working = asyncio.ensure_future(call)
    leaving = asyncio.ensure_future(
        request.receive()
    )  # all of the body is read: only the end is left to come
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _gone()
        result: Segmentation = await working
        return result
    finally:
        for task in (working, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SegmentError):
                await task


def _gone() -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "the caller left")


def _number(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: must be a number, got {text[:40]!r}", field=name)
    return value


def _client(request: Request) -> AsyncClient:
    client: AsyncClient = request.state.client
    return client


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 (by the table of handlers)
    return error.response(request.state.request_id)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, SegmentError)  # noqa: S101
    return problems.of_server(error).response(request.state.request_id)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return problems.of_http(error).response(request.state.request_id)
