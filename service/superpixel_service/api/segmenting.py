"""`POST /v1/segment`: from the request to the answer."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from superpixel_service.api import answers
from superpixel_service.api.bodies import MAPS, MASK, Body, check_kind, read_form
from superpixel_service.api.callers import Caller
from superpixel_service.api.kept import KeptMaps
from superpixel_service.api.parameters import KEEPING_OFF, invalid, read_parameters, repeated
from superpixel_service.client import Guidance, Segmentation, ServerInfo
from superpixel_service.contract import Reason
from superpixel_service.http.connection import while_connected
from superpixel_service.http.facts import facts_headers
from superpixel_service.http.problems import Problem

MAP_HEADER = "superpixel-map"

_NEEDS = {
    "edge_weight": "edges",
    "prior_mode": "prior",
    "prior_weight": "prior",
    "prior_count": "prior",
}
"""The map of guidance that a parameter is about."""


async def segment(request: Request) -> Response:
    """Answer a request. A stranger, an unknown parameter and a wrong kind of body cost no upload."""
    state = request.state
    caller: Caller = state.callers.admit(request, "segment")
    parameters = read_parameters(request.query_params.multi_items())
    is_form = check_kind(request)
    info = await caller.info()
    # A slow upload keeps no call waiting.
    async with state.uploads.receive(request, info.max_image_bytes) as content:
        body = read_form(request.headers["content-type"], content) if is_form else Body(content)
        for name, value in read_parameters(body.fields).items():
            if name in parameters:
                raise repeated(name)
            parameters[name] = value
        _check(parameters, body)
        if parameters.get("keep") and not state.kept.max_bytes:
            raise Problem(
                HTTPStatus.NOT_IMPLEMENTED,
                "this server keeps no maps; it was started with --keep-bytes 0",
                reason=KEEPING_OFF,
                field="keep",
            )
        files = body.digests()
        tag = _tag(parameters, files, info.algorithm_version, info)
        must_keep = parameters.get("keep", False) and state.kept.get(caller.owner, tag) is None
        if answers.is_known(request, tag) and not must_keep:
            return _with_map(answers.not_modified(tag), parameters, tag)
        async with state.calls.turn():
            return await while_connected(request, _answer(request, caller, parameters, body, files, info))


async def _answer(
    request: Request,
    caller: Caller,
    parameters: Mapping[str, Any],
    body: Body,
    files: Mapping[str, str],
    info: ServerInfo,
) -> Response:
    result = await caller.client.segment(
        body.image, request_id=request.state.request_id, **_wanted(parameters, body)
    )
    # Of several servers, the one that answered may have another version than the one that was asked.
    tag = _tag(parameters, files, result.algorithm_version, info)
    if parameters.get("keep"):
        _keep(request.state.kept, caller.owner, tag, result)
    encoding = parameters.get("encoding", "spx")
    map_id = tag if parameters.get("keep") else None
    async with request.state.encodes.turn():
        content = await asyncio.to_thread(answers.encode, result, encoding, map_id)
        response = await asyncio.to_thread(
            answers.respond, request, content, answers.MEDIA_TYPES[encoding], tag, facts_headers(result)
        )
    return _with_map(response, parameters, tag)


def _check(parameters: Mapping[str, Any], body: Body) -> None:
    """Check what one parameter says about another.

    Raises:
        Problem: they contradict each other.
    """
    for name, needed in _NEEDS.items():
        if name in parameters and needed not in body.maps:
            raise invalid(name, f"needs the file {needed!r}; send it in a form, beside the file 'image'")
    if parameters.get("encoding") != "png":
        return
    for name in ("hierarchy", "regions"):
        if parameters.get(name):
            raise invalid(name, "a PNG has labels only; use another encoding")


def _wanted(parameters: Mapping[str, Any], body: Body) -> dict[str, Any]:
    """The keywords of the client's `segment`."""
    encoding, keep = parameters.get("encoding", "spx"), parameters.get("keep", False)
    wanted: dict[str, Any] = {
        "counts": parameters.get("counts", ()),
        "areas": parameters.get("areas", ()),
        "include_hierarchy": keep or parameters.get("hierarchy", encoding == "spx"),
        "include_regions": keep or parameters.get("regions", encoding == "json"),
        "region_of_interest": parameters.get("region"),
        "apply_exif_orientation": parameters.get("orientation", True),
        "first_frame_only": parameters.get("first_frame", False),
        "guidance": _guidance(parameters, body),
        "mask": body.maps.get(MASK),
        "sample_range": parameters.get("sample_range"),
    }
    for name in ("compactness", "priority", "required_algorithm_version"):
        if name in parameters:
            wanted[name] = parameters[name]
    return wanted


def _guidance(parameters: Mapping[str, Any], body: Body) -> Guidance | None:
    given: dict[str, Any] = {name: body.maps[name] for name in MAPS if name in body.maps}
    if not given:
        return None
    given |= {name: parameters[name] for name in _NEEDS if name in parameters}
    return Guidance(**given)


def _tag(
    parameters: Mapping[str, Any], files: Mapping[str, str], algorithm_version: int, info: ServerInfo
) -> str:
    # Lanes change no answer.
    relevant = {name: value for name, value in parameters.items() if name != "priority"}
    return answers.tag_of(relevant, files, (algorithm_version, info.guidance_version))


def _keep(kept: KeptMaps, owner: str, map_id: str, result: Segmentation) -> None:
    if not kept.put(owner, map_id, result):
        raise invalid(
            "keep", "the map needs more memory than --keep-bytes allows", Reason.MEMORY_ABOVE_LIMIT.value
        )


def _with_map(response: Response, parameters: Mapping[str, Any], tag: str) -> Response:
    if parameters.get("keep"):
        response.headers[MAP_HEADER] = tag
    return response
