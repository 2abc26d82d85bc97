"""What the endpoints share: the client, the store, and checked parameters."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator

from superpixel_service.client import AsyncClient

from .bodies import Uploads
from .problems import Problem
from .settings import Settings
from .store import NotFound, Store

_T = TypeVar("_T")

_MAX_INTEGER = 2**31 - 1  # PostgreSQL's


@dataclass(frozen=True, slots=True)
class Context:
    """Made when the app starts, and kept for its life.

    Attributes:
        settings: the backend's settings.
        client: the one client: its connections to the service are shared by all requests.
        store: the database.
        uploads: receives bodies.
        segmenting: one permit per image that is in memory for the service.
        reading: one permit per stored image or map in memory; apart, so that a slow service delays no reader.
    """

    settings: Settings
    client: AsyncClient
    store: Store
    uploads: Uploads
    segmenting: asyncio.Semaphore
    reading: asyncio.Semaphore

    async def read(self, function: Callable[[], _T]) -> _T:
        """Run a function that reads a whole image or map from the store, in a thread."""
        async with self.reading:
            return await run_in_threadpool(function)


def _context(request: Request) -> Context:
    context: Context = request.state.context
    return context


def _image_id(image_id: Annotated[str, Path()]) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", image_id):
        raise NotFound("there is no such image")
    return image_id


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _same_site(request: Request) -> None:
    """Reject requests that a page of another site makes a browser send."""
    host = request.headers.get("host", "").rsplit("@", 1)[-1]
    name = re.sub(r":\d*$", "", host).lower()
    if name not in _context(request).settings.allowed_hosts:
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, "this host name is not in allowed_hosts")
    origin = request.headers.get("origin")
    if origin is not None and origin.split("://", 1)[-1].lower() != host.lower():
        raise Problem(HTTPStatus.FORBIDDEN, "pages of other sites may not call this backend")


SameSite = Depends(_same_site)
Shared = Annotated[Context, Depends(_context)]
ImageId = Annotated[str, Depends(_image_id)]
Name = Annotated[str, Query(min_length=1, max_length=200), AfterValidator(_one_line)]
# Your log-in knows who calls: take the author from there instead.
Author = Annotated[str, Query(max_length=200), AfterValidator(_one_line)]
Version = Annotated[int, Query(ge=1, le=_MAX_INTEGER)]
VersionQuery = Annotated[int | None, Query(ge=1, le=_MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=1000)]
