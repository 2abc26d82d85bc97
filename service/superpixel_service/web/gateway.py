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
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from superpixel_service.client import AsyncClient, Segmentation, SegmentError
from superpixel_service.contract import Reason
from superpixel_service.http import problems
from superpixel_service.http.connection import while_connected
from superpixel_service.http.facts import facts_headers
from superpixel_service.http.problems import Problem
from superpixel_service.http.uploads import Uploads
from superpixel_service.web import files
from superpixel_service.web.files import PARTS, STATIC
from superpixel_service.web.page_guard import page_guard
from superpixel_service.web.query import Maps, read_number

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
        middleware=[page_guard(names)],
        exception_handlers=problems.HANDLERS,
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
        result = await while_connected(request, segmentation)
    headers = {"cache-control": "no-store", **facts_headers(result)}
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


def _client(request: Request) -> AsyncClient:
    client: AsyncClient = request.state.client
    return client
