"""Answers of `POST /v1/segment`: their encodings, their entity tags, and gzip."""

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from superpixel_kernels import codec
from superpixel_kernels.codec.label_colors import MAX_RGB_LABEL
from superpixel_service import __version__
from superpixel_service.api.parameters import invalid
from superpixel_service.client import Segmentation
from superpixel_service.client.runs import to_runs
from superpixel_service.contract import Reason
from superpixel_service.images.label_files import to_png

MEDIA_TYPES = {"spx": "application/octet-stream", "png": "image/png", "json": "application/json"}

MAX_JSON_RUNS = 2_000_000
MAX_JSON_COUNT = 200_000

_GZIP_LEVEL = 4
_GZIP_LEAST_BYTES = 500
_GZIP_TAG = "-gzip"
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def tag_of(parameters: Mapping[str, Any], files: Mapping[str, str], versions: tuple[object, ...]) -> str:
    """What an answer depends on, as a text of 32 hexadecimal digits.

    Args:
        parameters: of the request.
        files: SHA-256 of the image and of each map.
        versions: of the algorithm and of guidance.
    """
    described = json.dumps([__version__, versions, files, parameters], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has this answer already, by its header `If-None-Match`."""
    sent = request.headers.get("if-none-match", "")
    return tag in {found.removesuffix(_GZIP_TAG) for found in _TAG.findall(sent)}


def not_modified(tag: str) -> Response:
    """The response to a caller who has the answer already."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_cache_headers(tag))


def encode(result: Segmentation, encoding: str, map_id: str | None) -> bytes:
    """The body in an encoding of `MEDIA_TYPES`. The same request always gives the same bytes.

    Raises:
        Problem: the map is too large for the encoding.
    """
    if encoding == "spx":
        return result.spx
    if encoding == "json":
        _check_json(result)
        return json.dumps(to_json(result, map_id), separators=(",", ":"), allow_nan=False).encode()
    most = MAX_RGB_LABEL + 1 - int(result.labels.min() < 0)  # pixels outside a mask take a value
    if result.count > most:
        raise invalid(
            "counts",
            f"a PNG can have at most {most} superpixels, got {result.count}",
            Reason.COUNT_ABOVE_ENCODING.value,
        )
    return to_png(result.labels, result.count)


def _check_json(result: Segmentation) -> None:
    runs = 1 + int(np.count_nonzero(np.diff(result.labels.ravel())))
    for name, found, most in (("runs", runs, MAX_JSON_RUNS), ("superpixels", result.count, MAX_JSON_COUNT)):
        if found > most:
            raise invalid(
                "encoding",
                f"an answer in json can have at most {most} {name}, this one has {found}; use spx",
                Reason.ANSWER_ABOVE_LIMIT.value,
            )


def to_json(result: Segmentation, map_id: str | None) -> dict[str, Any]:
    """The answer as JSON values."""
    answer: dict[str, Any] = {
        "width": result.width,
        "height": result.height,
        "count": result.count,
        "counts": list(result.counts),
        "base_count": result.base_count,
        "algorithm_version": result.algorithm_version,
        "notices": [{"code": notice.code, "message": notice.message} for notice in result.notices],
        "labels": to_runs(result.labels.ravel()),
        "levels": [
            {"count": count, "labels": result.cut(count).tolist()}
            for count in result.counts
            if count < result.count
        ],
    }
    if map_id is not None:
        answer["map"] = map_id
    if result.prior_components is not None:
        answer["prior_components"] = result.prior_components
    if result.mask_pixels is not None:
        answer["mask_pixels"] = result.mask_pixels
    if result.sample_range is not None:
        answer["sample_range"] = list(result.sample_range)
    if result.tree is not None:
        answer["tree"] = {"into": result.tree.into.tolist(), "order": result.tree.order.tolist()}
    if result.heights is not None:
        answer["heights"] = result.heights.tolist()
    if result.regions is not None:
        answer["regions"] = _regions(result.regions)
    return answer


def _regions(regions: codec.Regions) -> list[dict[str, Any]]:
    columns = zip(
        regions.area.tolist(),
        regions.box.tolist(),
        (regions.centroid / 16).tolist(),
        regions.mean_color.tolist(),
        np.split(regions.neighbors, regions.neighbor_offsets[1:-1]),
        strict=True,
    )
    return [
        {"area": area, "box": box, "centroid": centroid, "color": color, "neighbors": neighbors.tolist()}
        for area, box, centroid, color, neighbors in columns
    ]


def respond(request: Request, body: bytes, media_type: str, tag: str, headers: Mapping[str, str]) -> Response:
    """The response, compressed if the caller accepts gzip and the body is text."""
    answer_headers = {**headers, **_cache_headers(tag)}
    if media_type == MEDIA_TYPES["json"] and len(body) >= _GZIP_LEAST_BYTES and accepts_gzip(request):
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        # Other bytes need another tag (RFC 9110, 8.8.3.3).
        answer_headers |= {"content-encoding": "gzip", **_cache_headers(tag + _GZIP_TAG)}
    return Response(body, headers=answer_headers, media_type=media_type)


def accepts_gzip(request: Request) -> bool:
    """Whether the header `Accept-Encoding` names gzip with a weight above 0."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


def _cache_headers(tag: str) -> dict[str, str]:
    return {
        "etag": f'"{tag}"',
        "cache-control": "private, no-cache",
        "vary": "Accept-Encoding, Authorization",
    }
