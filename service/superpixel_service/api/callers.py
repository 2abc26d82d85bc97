"""Who calls: the caller's token is checked here, if the API has a token file, and passed on to the server."""

import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus

import grpc
from starlette.requests import Request
from starlette.responses import Response

from superpixel_service.api.parameters import INVALID
from superpixel_service.client import AsyncClient, NotAllowed, SegmentError, ServerInfo
from superpixel_service.contract import AUTHORIZATION_KEY, Reason
from superpixel_service.errors import ScopeMissing, TokenInvalid
from superpixel_service.http import problems
from superpixel_service.http.problems import Problem
from superpixel_service.security.tokens import Tokens

INFO_SECONDS = 10.0

_CHALLENGE = {"www-authenticate": 'Bearer realm="superpixel"'}
_SCHEME = "bearer "

_STATUS = {
    Reason.IMAGE_TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.GUIDANCE_TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.TOKEN_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.VERSION_UNAVAILABLE: HTTPStatus.CONFLICT,
}
"""HTTP status by reason, where the gRPC code alone would give another one."""

_FIELDS = {
    "target_counts": "counts",
    "target_areas": "areas",
    "region_of_interest": "region",
    "encoded_image": "image",
    "first_frame_only": "first_frame",
    "guidance.edges": "edges",
    "guidance.prior": "prior",
    "guidance.importance": "importance",
    "guidance.edge_weight": "edge_weight",
    "guidance.prior_weight": "prior_weight",
    "guidance.prior_mode": "prior_mode",
}
"""Names of this API, by the contract's path of a field or of one that contains it."""

_WORDS = {
    "target_counts": "counts",
    "target_areas": "areas",
    "include_hierarchy": "hierarchy",
    "include_regions": "regions",
    "region_of_interest": "region",
    "apply_exif_orientation": "orientation",
    "first_frame_only": "first_frame",
}
"""Names of this API in the server's texts, by the contract's names."""

_NAMES = re.compile(r"\b(" + "|".join(_WORDS) + r")\b")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller.

    Attributes:
        client: calls the server with the caller's token; with the API's own token, if the caller has none.
        owner: distinguishes callers; two callers with one token are the same.
    """

    client: AsyncClient
    owner: str

    async def info(self) -> ServerInfo:
        """The server's limits and versions."""
        return await self.client.server_info(timeout=INFO_SECONDS)


class Callers:
    """Admits callers.

    Args:
        client: calls the server with the API's own token, or without one.
        tokens: the tokens of the callers; None: the server alone checks tokens.
        own_token: whether `client` has a token, for callers without one.
    """

    def __init__(self, client: AsyncClient, tokens: Tokens | None, *, own_token: bool) -> None:
        self._client = client
        self._tokens = tokens
        self._own_token = own_token

    def admit(self, request: Request, scope: str) -> Caller:
        """The caller of a request, before its body is read.

        Args:
            request: the token is in its header `Authorization`.
            scope: the scope that the token needs.

        Raises:
            Problem: the caller may not call.
        """
        sent = request.headers.getlist(AUTHORIZATION_KEY)
        if self._tokens is not None:
            try:
                self._tokens.admit([(AUTHORIZATION_KEY, value) for value in sent], scope)
            except TokenInvalid as error:
                raise _unauthorized(error.reason.value) from None
            except ScopeMissing as error:
                raise Problem(
                    HTTPStatus.FORBIDDEN, error.text, reason=error.reason.value, metadata=dict(error.metadata)
                ) from None
        if not sent:
            request.state.uses_own_token = self._own_token
            return Caller(self._client, "")
        token = sent[0][len(_SCHEME) :].strip()
        if len(sent) > 1 or sent[0][: len(_SCHEME)].lower() != _SCHEME:
            raise _unauthorized(Reason.TOKEN_INVALID.value)
        try:
            client = self._client.with_token(token)
        except ValueError as error:
            raise Problem(HTTPStatus.UNAUTHORIZED, f"{error}", reason=INVALID, headers=_CHALLENGE) from None
        return Caller(client, hashlib.sha256(token.encode()).hexdigest())


def from_segment_error(error: SegmentError, *, uses_own_token: bool) -> Problem:
    """The problem for an error of a call to the server, in the names of this API.

    Args:
        error: of the call.
        uses_own_token: whether the call had the API's own token, which is not the caller's business.
    """
    if isinstance(error, NotAllowed) and not uses_own_token:
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            return _unauthorized(error.reason)
        return Problem(
            HTTPStatus.FORBIDDEN, error.message, reason=error.reason, metadata=dict(error.metadata)
        )
    field = _named(error.field)
    text = error.message
    if error.field and text.startswith(f"{error.field}: "):
        text = field + text[len(error.field) :]
    text = _NAMES.sub(lambda found: _WORDS[found[0]], text)
    problem = problems.from_segment_error(error, field=field, text=text)
    problem.status = _STATUS.get(error.reason, problem.status)  # type: ignore[call-overload]
    return problem


async def answer_segment_error(request: Request, error: Exception) -> Response:
    """The response for an error of a call to the server."""
    assert isinstance(error, SegmentError)  # noqa: S101 (registered for this type)
    problem = from_segment_error(error, uses_own_token=getattr(request.state, "uses_own_token", False))
    return problem.response(request.state.request_id)


def _unauthorized(reason: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "send a known token, once, in the header Authorization: Bearer TOKEN",
        reason=reason,
        headers=_CHALLENGE,
    )


def _named(field: str) -> str:
    for path in sorted(_FIELDS, key=len, reverse=True):
        if field == path or field.startswith((f"{path}.", f"{path}[")):
            return _FIELDS[path] + field[len(path) :]
    return field
