"""Endpoints of images: upload, new version, restore, history, and the bytes of file and label map."""

from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from superpixel_service.client import Segmentation, SegmentError

from .conditions import content_headers, etag_of, seen_version, unchanged
from .context import Author, Context, ImageId, Limit, Name, Shared, Version, VersionQuery
from .problems import Problem, too_large
from .store import ImageVersion, Picture

router = APIRouter()

_INFO_SECONDS = 5.0
"""Time for the service to say its limits. If it hangs, this is noticed before an image is sent."""

_FORMATS = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}
"""By a file's first two bytes; the service accepts no other formats."""


@router.post("/images", status_code=HTTPStatus.CREATED)
async def create_image(
    name: Name, request: Request, response: Response, shared: Shared, author: Author = ""
) -> dict[str, Any]:
    """Segment the body, an image file, and store both as a new image. The name need not be unique."""
    async with _upload(request, shared) as file, shared.segmenting:
        picture = await _segment(file, shared)
        image = await run_in_threadpool(shared.store.create_image, name, picture, author)
    response.headers["location"] = f"/images/{image.image_id}"
    return _answer(image, response)


@router.put("/images/{image_id}")
async def replace_image(
    image_id: ImageId, request: Request, response: Response, shared: Shared, author: Author = ""
) -> dict[str, Any]:
    """Segment the body, and store both as a new version of the image."""
    seen = seen_version(request)
    await run_in_threadpool(shared.store.check_image, image_id, seen)  # before the work
    async with _upload(request, shared) as file, shared.segmenting:
        picture = await _segment(file, shared)
        image = await run_in_threadpool(shared.store.replace_image, image_id, seen, picture, author)
    return _answer(image, response)


@router.post("/images/{image_id}/restore")
def restore_image(
    image_id: ImageId,
    version: Version,
    request: Request,
    response: Response,
    shared: Shared,
    author: Author = "",
) -> dict[str, Any]:
    """Make an old version the current one, by storing it as a new version."""
    return _answer(shared.store.restore_image(image_id, seen_version(request), version, author), response)


@router.get("/images")
def list_images(
    shared: Shared,
    name: Name | None = None,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """List images, oldest first. The next page is the one `after` the last id."""
    found = shared.store.images(name=name, after=after, limit=limit)
    return {"images": [_facts(image) for image in found]}


@router.get("/images/{image_id}")
def get_image(
    image_id: ImageId, response: Response, shared: Shared, version: VersionQuery = None
) -> dict[str, Any]:
    """Return the facts of the current version, or of another."""
    return _answer(shared.store.image(image_id, version), response)


@router.get("/images/{image_id}/versions")
def list_versions(
    image_id: ImageId, shared: Shared, before: VersionQuery = None, limit: Limit = 100
) -> dict[str, Any]:
    """List the image's versions, newest first."""
    found = shared.store.image_versions(image_id, before=before, limit=limit)
    return {"versions": [_facts(image) for image in found]}


@router.get("/images/{image_id}/file")
async def get_file(
    image_id: ImageId, request: Request, shared: Shared, version: VersionQuery = None
) -> Response:
    """Return the image file as it was uploaded."""
    image = await run_in_threadpool(shared.store.image, image_id, version)
    return await _bytes(image.file_digest, image.media_type, request, shared)


@router.get("/images/{image_id}/map")
async def get_map(
    image_id: ImageId, request: Request, shared: Shared, version: VersionQuery = None
) -> Response:
    """Return the label map: every number of superpixels, for `decode` of the npm package superpixel-map."""
    image = await run_in_threadpool(shared.store.image, image_id, version)
    return await _bytes(image.map_digest, "application/octet-stream", request, shared)


def _upload(request: Request, shared: Context) -> AbstractAsyncContextManager[IO[bytes]]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    # Not a type that a form of another site can send.
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be an image file, with its content-type"
        )
    return shared.uploads.receive(request, "max_image_bytes", shared.settings.max_image_bytes)


async def _segment(file: IO[bytes], shared: Context) -> Picture:
    # The service's own limit, before its messages' limit: that one could not say how large an image may be.
    timeout = min(_INFO_SECONDS, shared.settings.superpixel_timeout)
    limit = (await shared.client.server_info(timeout=timeout)).max_image_bytes
    data = await run_in_threadpool(file.read)
    if len(data) > limit:
        raise too_large(
            f"the image has {len(data)} bytes, the service takes {limit}", "max_image_bytes", limit
        )
    result = await _superpixels(data, shared)
    return Picture(
        file=data,
        label_map=result.spx,
        media_type=_FORMATS.get(data[:2], "application/octet-stream"),
        width=result.width,
        height=result.height,
        superpixels=result.count,
        algorithm_version=result.algorithm_version,
        notices=[notice.message for notice in result.notices],
    )


async def _superpixels(data: bytes, shared: Context) -> Segmentation:
    """All sizes of superpixels down to `average_area`, or to the finest that the service can make of it."""
    try:
        return await shared.client.segment(data, areas=shared.settings.average_area)
    except SegmentError as error:
        if error.reason != "COUNT_ABOVE_BASE":
            raise
        return await shared.client.segment(data, counts=int(error.metadata["base_count"]))


async def _bytes(digest: str, media_type: str, request: Request, shared: Context) -> Response:
    if (answer := unchanged(request, digest)) is not None:
        return answer
    data = await shared.read(lambda: shared.store.blob(digest))
    return Response(data, headers=content_headers(digest), media_type=media_type)


def _answer(image: ImageVersion, response: Response) -> dict[str, Any]:
    response.headers["etag"] = etag_of(image.version)
    response.headers["cache-control"] = "private, no-cache"
    return _facts(image)


def _facts(image: ImageVersion) -> dict[str, Any]:
    return {
        "id": image.image_id,
        "name": image.name,
        "version": image.version,
        "width": image.width,
        "height": image.height,
        "superpixels": image.superpixels,
        "mediaType": image.media_type,
        "algorithmVersion": image.algorithm_version,
        "notices": image.notices,
        "author": image.author,
        "restoredFrom": image.restored_from,
        "createdAt": image.created_at,
    }
