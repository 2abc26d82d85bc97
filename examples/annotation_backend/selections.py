"""Endpoints of selections: save, read, restore, history, and the mask."""

import json
from http import HTTPStatus
from typing import IO, Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client import exports

from .conditions import etag_of, seen_version
from .context import Author, Context, ImageId, Limit, Shared, Version, VersionQuery
from .problems import Problem
from .store import OtherMap, SelectionVersion

router = APIRouter(prefix="/images/{image_id}/selection")
masks = APIRouter(prefix="/images/{image_id}/mask")

# Small enough that no sum of a body's numbers leaves 64 bits. FailFast: one error, not one per number.
_Runs = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], FailFast()]


class _Class(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(max_length=200)
    color: str = Field(pattern="^#[0-9a-fA-F]{6}$")
    id: Annotated[int, Field(ge=1, lt=2**31)] = 1


class _Object(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    class_value: int = Field(alias="class", ge=1, le=exports.MAX_CLASSES)
    name: str = Field(max_length=200)


class _Selection(BaseModel):
    """The JSON of `Selection.toJSON` in the npm package superpixel-map, untrusted."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: str = Field(pattern="^superpixel-selection$")
    version: int = Field(ge=1, le=2)
    width: int
    height: int
    count: int
    map: str = Field(max_length=8)
    parameters: dict[str, int | float | str | bool | None] = Field({}, max_length=100)
    classes: Annotated[list[_Class], FailFast()] = Field(max_length=exports.MAX_CLASSES)
    objects: Annotated[list[_Object], FailFast()] = Field([], max_length=exports.MAX_OBJECTS)
    regions: _Runs
    pixels: _Runs


@router.put("")
async def put_selection(
    image_id: ImageId, request: Request, response: Response, shared: Shared, author: Author = ""
) -> dict[str, Any]:
    """Store a new version of the selection, made on the image's current map."""
    seen = seen_version(request, may_be_new=True)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    limit = shared.settings.max_selection_bytes
    async with shared.uploads.receive(request, "max_selection_bytes", limit) as file:
        saved = await shared.read(lambda: _save(shared, image_id, seen, file, author))
    response.status_code = HTTPStatus.CREATED if saved.version == 1 else HTTPStatus.OK
    response.headers["etag"] = etag_of(saved.version)
    return _facts(saved)


def _save(shared: Context, image_id: str, seen: int, file: IO[bytes], author: str) -> SelectionVersion:
    image = shared.store.image(image_id)
    label_map = codec.decode(shared.store.blob(image.map_digest))
    data = check_selection(file.read(), label_map)
    return shared.store.save_selection(image_id, seen, data, image, author)


def check_selection(body: bytes, label_map: codec.LabelMap) -> bytes:
    """Check an untrusted selection; return it as JSON to store.

    Raises:
        Problem: it is no selection.
        OtherMap: it was made on another map.
    """
    try:
        selection = _Selection.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, ("selection", *first["loc"])))
        raise _invalid(f"{field}: {first['msg']}", field) from None
    height, width = label_map.labels.shape
    made_on = (selection.width, selection.height, selection.count, selection.map)
    if made_on != (width, height, label_map.count, exports.fingerprint(label_map.labels)):
        raise OtherMap
    parsed = selection.model_dump(by_alias=True, exclude_unset=True)
    try:
        exports.Annotation.of_selection(label_map, parsed)
    except InvalidParameter as error:
        raise _invalid(str(error), error.parameter) from error
    return json.dumps(parsed, separators=(",", ":")).encode()


def _invalid(detail: str, field: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, {"reason": "INVALID_SELECTION", "field": field})


@router.post("/restore")
def restore_selection(
    image_id: ImageId,
    version: Version,
    request: Request,
    response: Response,
    shared: Shared,
    author: Author = "",
) -> dict[str, Any]:
    """Make an old version the latest one, by storing it as a new version."""
    saved = shared.store.restore_selection(image_id, seen_version(request), version, author)
    response.headers["etag"] = etag_of(saved.version)
    return _facts(saved)


@router.get("/versions")
def list_versions(
    image_id: ImageId, shared: Shared, before: VersionQuery = None, limit: Limit = 100
) -> dict[str, Any]:
    """List the selection's versions, newest first."""
    found = shared.store.selection_versions(image_id, before=before, limit=limit)
    return {"versions": [_facts(selection) for selection in found]}


@router.get("")
async def get_selection(image_id: ImageId, shared: Shared, version: VersionQuery = None) -> Response:
    """Return the JSON of the latest selection, or of another version."""
    saved = await run_in_threadpool(_find, shared, image_id, version)
    data = await shared.read(lambda: shared.store.blob(saved.digest))
    return Response(data, headers=_headers(saved), media_type="application/json")


@masks.get("")
async def get_mask(image_id: ImageId, shared: Shared, version: VersionQuery = None) -> Response:
    """Return the class of each pixel as an indexed PNG."""
    saved = await run_in_threadpool(_find, shared, image_id, version)
    png = await shared.read(lambda: _mask(shared, saved))
    return Response(png, headers=_headers(saved), media_type="image/png")


def _find(shared: Context, image_id: str, version: int | None) -> SelectionVersion:
    """The version; without one, the latest, which must belong to the image's current map."""
    saved = shared.store.selection(image_id, version)
    if version is None and saved.map_digest != shared.store.image(image_id).map_digest:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"the image has another label map since version {saved.version} of the selection was saved; "
            f"add ?version={saved.version} to get it",
            {"selectionVersion": saved.version},
            headers={"etag": etag_of(saved.version)},
        )
    return saved


def _mask(shared: Context, saved: SelectionVersion) -> bytes:
    label_map = codec.decode(shared.store.blob(saved.map_digest))
    annotation = exports.Annotation.of_selection(label_map, json.loads(shared.store.blob(saved.digest)))
    return exports.to_indexed_png(annotation)


def _headers(saved: SelectionVersion) -> dict[str, str]:
    return {"etag": etag_of(saved.version), "cache-control": "private, no-cache"}


def _facts(saved: SelectionVersion) -> dict[str, Any]:
    return {
        "version": saved.version,
        "author": saved.author,
        "restoredFrom": saved.restored_from,
        "createdAt": saved.created_at,
    }
