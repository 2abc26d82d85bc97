"""A remote server for X-AnyLabeling: smart select, and superpixels of several sizes.

    pip install 'superpixel-service[web]'
    python server.py --listen 127.0.0.1:8000

X-AnyLabeling's model "Remote-Server" lists the models of the server and sends the image with every call. The
protocol is that of X-AnyLabeling-Server: /health, /v1/models, /v1/models/ID/info and /v1/predict. Errors have
its bodies, with the HTTP status that fits, because X-AnyLabeling shows nothing of an error with status 200.
"""

import argparse
import base64
import binascii
import datetime
import hmac
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client import SegmentError
from superpixel_service.client.topology import share_borders
from superpixel_service.interactive import Box, ObjectFinder, Point

SMART = "superpixel-smart-select"
SIZES = {f"superpixels-{count}": count for count in (100, 400, 1600)}
MAX_BYTES = 1 << 27
MAX_TOLERANCE = 10.0

OBJECT = "AUTOLABEL_OBJECT"
"""The label by which X-AnyLabeling knows a result that the next click replaces."""


class Rejected(Exception):
    """A call that gets an error, with its HTTP status and its code in the protocol."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def models() -> dict[str, dict[str, Any]]:
    """What the server offers, with the controls that X-AnyLabeling shows for it."""
    buttons = (
        "button_add_point",
        "button_remove_point",
        "button_add_rect",
        "button_clear",
        "button_finish_object",
    )
    smart = [{"name": name, "value": None} for name in (*buttons, "toggle_preserve_existing_annotations")]
    run = [{"name": name, "value": None} for name in ("button_run", "toggle_preserve_existing_annotations")]
    offered: dict[str, dict[str, Any]] = {
        SMART: {
            "model_id": SMART,
            "display_name": "Superpixels: smart select",
            "widgets": smart,
            "params": {},
            "batch_processing_mode": None,
        }
    }
    for name, count in SIZES.items():
        offered[name] = {
            "model_id": name,
            "display_name": f"Superpixels: {count}",
            "widgets": run,
            "params": {"count": count},
            "batch_processing_mode": "default",
        }
    return offered


def predict(finder: ObjectFinder, call: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes of one call."""
    name = call.get("model")
    if name not in models():
        raise Rejected(404, "MODEL_NOT_FOUND", f"Model {name!r} not loaded")
    params = call.get("params") or {}
    try:
        image = base64.b64decode(str(call["image"]).rpartition(",")[2], validate=True)
        tolerance = _tolerance(params)
        marks = [_mark(mark) for mark in params.get("marks") or []]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Rejected(400, "INVALID_REQUEST", f"the call is malformed: {error!r}") from error
    try:
        if name == SMART:
            points = [mark for mark in marks if isinstance(mark, Point)]
            boxes = [mark for mark in marks if not isinstance(mark, Point)]
            mask = finder.find(image, points, boxes[-1] if boxes else None)
            # X-AnyLabeling removes the result of the click before by itself.
            return {
                "shapes": _shapes(mask.astype(int), tolerance, OBJECT),
                "description": "",
                "replace": False,
            }
        picture = finder.open(image, SIZES[name])
        return {"shapes": _shapes(picture.label_map.labels + 1, tolerance, "superpixel"), "description": ""}
    except InvalidParameter as error:
        raise Rejected(400, "INVALID_REQUEST", str(error)) from error
    except SegmentError as error:
        raise Rejected(400, "INVALID_IMAGE", str(error)) from error


def _tolerance(params: Mapping[str, Any]) -> float:
    """By how many pixels borders may move: 1 at X-AnyLabeling's default fineness."""
    value = float(params.get("epsilon_factor", 0.001)) * 1000
    if not math.isfinite(value):
        raise ValueError("epsilon_factor must be finite")
    return min(max(value, 0.0), MAX_TOLERANCE)


def _mark(mark: Mapping[str, Any]) -> Point | Box:
    data = [float(value) for value in mark["data"]]
    positive = int(mark.get("label", 1)) == 1
    if mark["type"] == "point" and len(data) == 2:
        return Point(data[0], data[1], positive)
    if mark["type"] == "rectangle" and len(data) == 4 and positive:
        return data[0], data[1], data[2], data[3]
    raise ValueError(f"marks must be points and rectangles around objects, got {dict(mark)}")


def _shapes(values: Any, tolerance: float, label: str) -> list[dict[str, Any]]:
    """One polygon per connected piece of a value above 0; neighbours share their borders."""
    found = share_borders(values, tolerance)
    rings = found.rings()
    shapes: list[dict[str, Any]] = []
    for piece in found.pieces:
        if piece.value == 0:
            continue
        ring = rings[piece.id - 1][0]
        shapes.append(
            {
                "label": label,
                "shape_type": "polygon",
                "points": [[x / 2, y / 2] for x, y in zip(ring[::2], ring[1::2], strict=True)],
                "score": None,
                "attributes": {},
                "description": None,
                "difficult": False,
                "direction": 0,
                "flags": None,
                "group_id": None,
                "kie_linking": [],
            }
        )
    return shapes


def make_app(finder: ObjectFinder, api_key: str = "") -> Starlette:
    """The HTTP application.

    Args:
        finder: makes the superpixels.
        api_key: what the header "Token" must contain; "": no key is needed.
    """

    def check(request: Request) -> None:
        if api_key and not hmac.compare_digest(request.headers.get("token", "").encode(), api_key.encode()):
            raise Rejected(401, "UNAUTHORIZED", "Invalid or missing API Key")

    async def health(_: Request) -> JSONResponse:
        now = datetime.datetime.now(datetime.UTC).isoformat()
        return JSONResponse({"status": "healthy", "models_loaded": len(models()), "timestamp": now})

    async def list_models(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse({"success": True, "data": models()})

    async def model_info(request: Request) -> JSONResponse:
        check(request)
        name = request.path_params["name"]
        if name not in models():
            raise Rejected(404, "MODEL_NOT_FOUND", f"Model {name!r} not loaded")
        return JSONResponse({"success": True, "data": models()[name]})

    async def answer(request: Request) -> JSONResponse:
        check(request)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                raise Rejected(413, "INVALID_REQUEST", f"the call has more than {MAX_BYTES} bytes")
        try:
            call = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Rejected(400, "INVALID_REQUEST", f"the call is not JSON: {error}") from error
        if not isinstance(call, dict):
            raise Rejected(400, "INVALID_REQUEST", "the call must be an object")
        return JSONResponse({"success": True, "data": await run_in_threadpool(predict, finder, call)})

    async def rejected(_: Request, error: Any) -> JSONResponse:
        body = {"success": False, "error": {"code": error.code, "message": str(error)}}
        return JSONResponse(body, error.status)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", list_models),
            Route("/v1/models/{name}/info", model_info),
            Route("/v1/predict", answer, methods=["POST"]),
        ],
        exception_handlers={Rejected: rejected},
    )


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="A remote server for X-AnyLabeling.")
    parser.add_argument(
        "--listen", default="127.0.0.1:8000", metavar="HOST:PORT", help="default: %(default)s"
    )
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    app = make_app(ObjectFinder.from_environment(), os.environ.get("XANYLABELING_API_KEY", ""))
    uvicorn.run(app, host=host, port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
