"""The gateway of `superpixel app --store`: the page of one store, and its work.

GET  /api/store                               size and levels, as JSON, and what /api/lists gives
GET  /api/lists                               classes, objects, areas, numbers of steps, as JSON
GET  /api/image?x=X&y=Y&width=W&height=H&scale=S    a part of the image, as PNG
GET  /api/window?x=X&y=Y&width=W&height=H&scale=S&area=A[&hierarchy=1]
                                              superpixels of A pixels of the level on average; see `_window`
POST /api/paint   {"ids": [...], "value": V}  gives regions a class or an object; 0: none
POST /api/change  {"do": ...}                 changes the classes or the objects; see `store_changes`
POST /api/undo, /api/redo                     a step back, a step forward
GET  /api/export?format=F                     the work as a file: geotiff, gpkg, geojson or json
"""

import asyncio
import dataclasses
import json
import struct
import tempfile
from collections.abc import Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from superpixel_kernels import codec
from superpixel_service.client.selection_json import class_facts, object_facts
from superpixel_service.http import problems
from superpixel_service.http.problems import Problem
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.layers import SelectionLayer
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.outline_export import write_outlines
from superpixel_service.large.raster_export import write_geotiff
from superpixel_service.large.source import Window
from superpixel_service.web.files import PARTS, STATIC
from superpixel_service.web.page_guard import page_guard
from superpixel_service.web.store_work import OtherLists, StoreWork

MAX_STEP_BYTES = 1 << 20
"""Largest body of a request that changes the work."""

MAX_WINDOW_PIXELS = 1 << 23
"""Largest window that the page may ask for; a screen of 4K has about as many."""

_SUFFIXES = {"geotiff": "tif", "gpkg": "gpkg", "geojson": "geojson"}


def build(work: StoreWork, names: Collection[str] = ()) -> Starlette:
    """Build the application.

    Args:
        work: the store, and what is selected in it.
        names: host names of the gateway, besides localhost and IP addresses.
    """
    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/favicon.ico", _icon),
            Route("/api/store", _store),
            Route("/api/image", _image),
            Route("/api/window", _window),
            Route("/api/lists", _lists),
            Route("/api/paint", _paint, methods=["POST"]),
            Route("/api/change", _change, methods=["POST"]),
            Route("/api/undo", _step, methods=["POST"]),
            Route("/api/redo", _step, methods=["POST"]),
            Route("/api/export", _export),
            *(Mount(f"/{part}", StaticFiles(directory=STATIC / part)) for part in PARTS),
        ],
        middleware=[page_guard(names)],
        exception_handlers={**problems.HANDLERS, LargeFailed: _answer_failure},
    )
    app.state.work = work
    app.state.reads = asyncio.Semaphore(4)
    app.router.redirect_slashes = False
    return app


async def _page(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "large" / "index.html")


async def _icon(_request: Request) -> Response:
    return FileResponse(STATIC / "page" / "icon.svg", media_type="image/svg+xml")


async def _store(request: Request) -> Response:
    store = _work(request).store
    info = store.info
    facts = {
        "name": store.address.rstrip("/").rsplit("/", 1)[-1],
        "width": info.width,
        "height": info.height,
        "scales": info.scales,
        "baseCount": info.base_count,
        "georeferenced": bool(info.crs),
        **_list_facts(_work(request)),
    }
    return JSONResponse(facts, headers={"cache-control": "no-store"})


async def _lists(request: Request) -> Response:
    return JSONResponse(_list_facts(_work(request)), headers={"cache-control": "no-store"})


def _list_facts(work: StoreWork) -> dict[str, Any]:
    undo, redo = work.step_counts
    lists, classes, objects, areas = work.lists()
    return {
        "undo": undo,
        "redo": redo,
        "lists": lists,
        "classes": [class_facts(each) for each in classes],
        "objects": [object_facts(each) for each in objects],
        "areas": areas,
    }


async def _image(request: Request) -> Response:
    work = _work(request)
    window, scale = _read_window(request, work.store.info)

    async with request.app.state.reads:
        png = await asyncio.to_thread(work.store.png, window, scale)
    return Response(png, media_type="image/png")


async def _window(request: Request) -> Response:
    """Four bytes: the size of the label map; the label map; value (16 bits) and global id of each label."""
    work = _work(request)
    window, scale = _read_window(request, work.store.info)
    area = _read_whole(request, "area")
    hierarchy = request.query_params.get("hierarchy") == "1"

    def read() -> bytes:
        count = work.store.count_for(scale, max(1, area))
        spx = work.store.window(*window, scale=scale, count=count, include_hierarchy=hierarchy)
        found = codec.decode(spx).global_ids
        assert found is not None  # noqa: S101 (windows have them)
        values = work.values_of(found.ids)
        return b"".join(
            [
                struct.pack("<I", len(spx)),
                spx,
                values.astype("<u2").tobytes(),
                found.ids.astype("<u4").tobytes(),
            ]
        )

    async with request.app.state.reads:
        body = await asyncio.to_thread(read)
    headers = {"cache-control": "no-store"}
    return Response(body, media_type="application/octet-stream", headers=headers)


async def _paint(request: Request) -> Response:
    step = await _read_step(request)
    ids, value = step.get("ids"), step.get("value")
    if not (type(value) is int and isinstance(ids, list) and all(type(id_) is int for id_ in ids)):
        raise Problem(HTTPStatus.BAD_REQUEST, "must be JSON with ids and value, whole numbers")
    changed = await asyncio.to_thread(_work(request).paint, ids, value, _known_lists(step))
    return JSONResponse(dataclasses.asdict(changed), headers={"cache-control": "no-store"})


async def _change(request: Request) -> Response:
    step = await _read_step(request)
    await asyncio.to_thread(_work(request).change, step, _known_lists(step))
    return await _lists(request)


async def _read_step(request: Request) -> Mapping[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_STEP_BYTES:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"must have at most {MAX_STEP_BYTES} bytes")
    try:
        step = json.loads(body)
    except (ValueError, RecursionError):
        step = None
    if not isinstance(step, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "must be JSON, an object")
    return step


def _known_lists(step: Mapping[str, Any]) -> int | None:
    lists = step.get("lists")
    if lists is not None and type(lists) is not int:
        raise Problem(HTTPStatus.BAD_REQUEST, "lists: must be a whole number", field="lists")
    return lists


async def _step(request: Request) -> Response:
    work = _work(request)
    await asyncio.to_thread(work.undo if request.url.path == "/api/undo" else work.redo)
    return await _lists(request)


async def _export(request: Request) -> Response:
    work, kind = _work(request), request.query_params.get("format", "")
    if kind not in {*_SUFFIXES, "json"}:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"format: must be one of json, {', '.join(_SUFFIXES)}", field="format"
        )
    if kind == "json":
        data, suffix = work.file.read_bytes() if work.file.exists() else b"", "json"
    else:
        data, suffix = await asyncio.to_thread(_exported, work, kind), _SUFFIXES[kind]
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="selection.{suffix}"',
    }
    return Response(data, media_type="application/octet-stream", headers=headers)


def _exported(work: StoreWork, kind: str) -> bytes:
    layer = SelectionLayer(work.store, work.selection())
    with tempfile.TemporaryDirectory(prefix="superpixel-") as folder:
        path = Path(folder, f"selection.{_SUFFIXES[kind]}")
        if kind == "geotiff":
            write_geotiff(path, work.store.info, layer)
        else:
            write_outlines(path, kind, work.store.info, layer)
        return path.read_bytes()


def _read_window(request: Request, info: StoreInfo) -> tuple[Window, int]:
    window = Window(*(_read_whole(request, name) for name in ("x", "y", "width", "height")))
    scale = _read_whole(request, "scale")
    if scale not in info.scales:
        raise Problem(HTTPStatus.BAD_REQUEST, f"scale: must be one of {info.scales}", field="scale")
    width, height = info.level_size(scale)
    if not (0 < window.width <= width - window.x and 0 < window.height <= height - window.y):
        raise Problem(HTTPStatus.BAD_REQUEST, f"the window is not inside the level of {width} x {height}")
    if window.width * window.height > MAX_WINDOW_PIXELS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"a window has at most {MAX_WINDOW_PIXELS} pixels")
    return window, scale


def _read_whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: must be a whole number", field=name)
    return int(text)


def _work(request: Request) -> StoreWork:
    work: StoreWork = request.app.state.work
    return work


async def _answer_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, LargeFailed)  # noqa: S101
    status = HTTPStatus.BAD_REQUEST if error.usage else HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, OtherLists):
        status = HTTPStatus.CONFLICT
    return Problem(status, str(error)).response(request.state.request_id)
