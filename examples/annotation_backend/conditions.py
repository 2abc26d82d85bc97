"""Conditional requests (RFC 9110): entity tags, and which version a save was made on."""

import re
from http import HTTPStatus

from fastapi import Request, Response

from .problems import Problem

_ETAG = re.compile(r'"(\d{1,9})"')


def etag_of(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


def seen_version(request: Request, *, may_be_new: bool = False) -> int:
    """The version that the caller has seen, from If-Match; 0 for If-None-Match: *.

    Args:
        request: a save.
        may_be_new: whether the resource may not exist yet, so that If-None-Match: * is right.

    Raises:
        Problem: 428 if the headers are missing, 400 if they are not understood.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    wanted = 'If-Match: "VERSION"' + (", or If-None-Match: * for the first" if may_be_new else "")
    if match is None and none_match is None:
        raise Problem(HTTPStatus.PRECONDITION_REQUIRED, f"a save must have the header {wanted}")
    if match is None and none_match == "*" and may_be_new:
        return 0
    found = _ETAG.fullmatch(match or "")
    if found is None or none_match is not None:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the header must be {wanted}")
    return int(found[1])


def unchanged(request: Request, digest: str) -> Response | None:
    """A 304 if the caller already has the bytes with this digest."""
    tags = request.headers.get("if-none-match", "")
    if f'"{digest}"' not in tags:
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=content_headers(digest))


def content_headers(digest: str) -> dict[str, str]:
    """Headers of bytes from the store. `nosniff`: they are not ours, and must not be run as a page."""
    return {"etag": f'"{digest}"', "cache-control": "private, no-cache", "x-content-type-options": "nosniff"}
