"""`POST /v1/select`: smart select on a kept map."""

import asyncio
import io
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.api.kept import Click, KeptMap
from superpixel_service.api.parameters import INVALID, MALFORMED, NOT_KEPT, UNKNOWN, invalid
from superpixel_service.client.runs import to_runs
from superpixel_service.http.problems import Problem

MAX_COUNT = 5000
MAX_CLICKS = 64
MAX_BODY_BYTES = 1 << 16
DEFAULT_COUNT = 3000

_MAX_GROW = 5
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _not_text(value: object) -> object:
    # In JSON 3.0 is an integer too, but "3" and true are none.
    if isinstance(value, str | bool):
        raise ValueError  # noqa: TRY004 (pydantic reports only ValueError)
    return value


_Integer = Annotated[int, BeforeValidator(_not_text)]
_Pixel = Annotated[_Integer, Field(ge=0, le=2**31 - 1)]


class ClickModel(BaseModel):
    """A click on the object."""

    model_config = ConfigDict(extra="forbid", title="Click")

    x: _Number = Field(description="Column of the point, in pixels of the map; may be fractional.")
    y: _Number = Field(description="Row of the point.")
    positive: bool = Field(
        default=True, strict=True, description="Add to the object; false: take away from it."
    )
    grow: Annotated[float, Field(strict=True, ge=-_MAX_GROW, le=_MAX_GROW)] = Field(
        default=0.0, description="Take more or less than the click alone would."
    )


class SelectModel(BaseModel):
    """A request of smart select. It has all clicks on the object, so requests do not depend on each other."""

    model_config = ConfigDict(extra="forbid", title="SelectRequest")

    map: str = Field(
        strict=True, max_length=128, description="The id of a kept map, from the header Superpixel-Map."
    )
    clicks: list[ClickModel] = Field(
        min_length=1, max_length=MAX_CLICKS, description="All clicks on the object, in their order."
    )
    count: Annotated[_Integer, Field(ge=1, le=MAX_COUNT)] | None = Field(
        default=None,
        description="Superpixels of the level that clicks work on. Default: "
        f"{DEFAULT_COUNT}, or the map's own count if that is smaller.",
    )
    box: tuple[_Pixel, _Pixel, _Pixel, _Pixel] | None = Field(
        default=None,
        description="x0, y0, x1, y1: the part of the image in view. Other regions do not exist.",
    )
    encoding: Literal["json", "png"] = Field(
        default="json", description="json: regions and a COCO mask; png: an 8-bit mask, 255 inside."
    )


_WANTED: Mapping[str, str] = {
    "map": "the id of a kept map",
    "clicks": f"a list of 1 to {MAX_CLICKS} objects with x and y",
    "x": "a number",
    "y": "a number",
    "positive": "true or false",
    "grow": f"a number from -{_MAX_GROW} to {_MAX_GROW}",
    "count": f"an integer from 1 to {MAX_COUNT}",
    "box": "four integers: x0, y0, x1, y1",
    "encoding": "json or png",
}


def read_select(body: bytes) -> SelectModel:
    """The request in a body.

    Raises:
        Problem: the body is no such request; the text says what would be right.
    """
    try:
        return SelectModel.model_validate_json(body)
    except ValidationError as error:
        raise _problem(error) from None


def _problem(error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = first["loc"]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")[:80]
    if first["type"] == "json_invalid" or not path:
        return Problem(HTTPStatus.BAD_REQUEST, "the body must be one JSON object", reason=MALFORMED)
    if first["type"] == "extra_forbidden":
        return Problem(
            HTTPStatus.BAD_REQUEST, f"{field}: there is no such member", reason=UNKNOWN, field=field
        )
    wanted = next(_WANTED[part] for part in reversed(path) if isinstance(part, str) and part in _WANTED)
    return invalid(field, f"must be {wanted}")


async def select(request: Request) -> Response:
    """Answer a request."""
    state = request.state
    caller = state.callers.admit(request, "segment")
    if request.query_params:
        raise Problem(HTTPStatus.BAD_REQUEST, "this method has no parameters in its address", reason=UNKNOWN)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON, as application/json")
    async with state.uploads.receive(request, MAX_BODY_BYTES, "body") as body:
        wanted = read_select(body)
    kept = state.kept.get(caller.owner, wanted.map)
    if kept is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "no map of this id is kept; send the image to /v1/segment again, with keep=true",
            reason=NOT_KEPT,
            field="map",
        )
    clicks = [Click(click.x, click.y, click.positive, click.grow) for click in wanted.clicks]
    async with state.selects.turn():
        try:
            content, media_type = await asyncio.to_thread(_answer, kept, wanted, clicks)
        except InvalidParameter as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error), reason=INVALID, field=error.parameter) from None
    headers = {"cache-control": "no-store"}
    if media_type == "image/png":
        return Response(content, headers=headers, media_type=media_type)
    return JSONResponse(content, headers=headers)


def _answer(kept: KeptMap, wanted: SelectModel, clicks: list[Click]) -> tuple[Any, str]:
    label_map = kept.label_map()
    count = wanted.count or min(label_map.count, DEFAULT_COUNT)
    chosen = kept.select(count, wanted.box, clicks)
    mask = np.isin(label_map.labels_at(count), chosen)
    if wanted.encoding == "png":
        file = io.BytesIO()
        Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(file, "PNG")
        return file.getvalue(), "image/png"
    return (
        {
            "map": wanted.map,
            "count": count,
            "regions": chosen.tolist(),
            "area": int(mask.sum()),
            "box": _box_of(mask),
            "mask": {"size": list(mask.shape), "counts": _coco_counts(mask)},
        },
        "application/json",
    )


def _box_of(mask: NDArray[np.bool_]) -> list[int] | None:
    """x0, y0, x1, y1 of the pixels inside; x1 and y1 lie one past them. None: there are none."""
    if not mask.any():
        return None
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _coco_counts(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed run lengths: column by column, the first run outside."""
    lengths = to_runs(mask.T.ravel())[1::2]
    return [0, *lengths] if mask[0, 0] else lengths
