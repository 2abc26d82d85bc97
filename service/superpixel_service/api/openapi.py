"""The OpenAPI 3.1 description of the HTTP API, made from the declarations that its readers use."""

from collections.abc import Mapping
from typing import Any

from superpixel_service import __version__
from superpixel_service.api.answers import MEDIA_TYPES
from superpixel_service.api.bodies import FORM, IMAGE, MAPS, MASK
from superpixel_service.api.parameters import REASONS, SEGMENT, Parameter
from superpixel_service.api.selecting import SelectModel
from superpixel_service.contract import ImageFormat, Reason
from superpixel_service.http.problems import MEDIA_TYPE

Schema = Mapping[str, Any]

_INTEGER: Schema = {"type": "integer", "minimum": 0}
_INTEGERS: Schema = {"type": "array", "items": _INTEGER}
_TEXT: Schema = {"type": "string"}
_BINARY: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}

_IMAGE_TYPES = tuple(f"image/{each.value}" for each in ImageFormat if each is not ImageFormat.RAW)

_MAP_TEXTS = {
    "edges": "PNG of 8-bit gray: how strong a border is at each pixel, which superpixels follow.",
    "prior": "Labels or masks of another model: PNG, SPXL label map, or JSON of COCO run-length masks.",
    "importance": "PNG of 8-bit gray: superpixels are (32 + value) / 32 times as dense there.",
    MASK: "Gray PNG of the size of the upright image: pixels that are 0 belong to no superpixel.",
}

_STATUS_TEXTS = {
    400: "The request, or what it sends, is wrong; `field` names what to change.",
    401: "The token is missing or unknown.",
    403: "The token lacks the scope, or a page of another origin calls.",
    404: "No map of this id is kept for this caller.",
    408: "The body did not arrive in time.",
    409: "The server has another version than the request requires.",
    413: "The body is too large.",
    415: "The Content-Type or the Content-Encoding is none of those that are read.",
    421: "The Host is not a name of this API.",
    429: "This token uses its share of the server; try again after `Retry-After` seconds.",
    501: "The server does not offer this.",
    502: "The segmentation server failed, or does not accept this API's own token.",
    503: "The server is full, stopping or unreachable.",
    504: "The segmentation server did not answer in time.",
}
_ALWAYS = (400, 401, 403, 421, 501, 502, 503, 504)
_BODY = (408, 413, 415)


def describe(*, needs_token: bool = False) -> dict[str, Any]:
    """The description.

    Args:
        needs_token: whether the API itself checks tokens; otherwise a token is optional, and the gRPC server
            decides.
    """
    token: list[dict[str, list[str]]] = [{"token": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Superpixels over HTTP",
            "version": __version__,
            "summary": "Nested superpixels of images, and smart select.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "../", "description": "relative to the address of this description"}],
        "security": token if needs_token else [{}, *token],
        "paths": {
            "/v1/segment": {"post": _segment()},
            "/v1/select": {"post": _select()},
            "/v1/info": {"get": _info()},
            "/v1/openapi.json": {"get": _described_by_itself()},
            "/health/live": {"get": _health("live", "Whether the API answers.")},
            "/health/ready": {"get": _health("ready", "Whether the segmentation server accepts work.", 503)},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Problem": _problem(),
                "Segmentation": _segmentation(),
                "Region": _region(),
                "Selection": _selection(),
                "ServerInfo": _server_info(),
                **_select_schemas(),
            },
        },
    }


def _segment() -> dict[str, Any]:
    image = {"schema": _BINARY}
    form = {
        "type": "object",
        "properties": {
            IMAGE: {**_BINARY, "description": "The image file, of a format that /v1/info lists."},
            **{name: {**_BINARY, "description": _MAP_TEXTS[name]} for name in (*MAPS, MASK)},
            **{each.name: {**each.schema, "description": each.text} for each in SEGMENT},
        },
        "required": [IMAGE],
        "additionalProperties": False,
    }
    lists = {each.name for each in SEGMENT if each.schema["type"] == "array"}
    content = {
        **dict.fromkeys((*_IMAGE_TYPES, MEDIA_TYPES["spx"]), image),
        FORM: {
            "schema": form,
            "encoding": {name: {"style": "form", "explode": False} for name in sorted(lists)},
        },
    }
    headers = {
        "ETag": _header("Depends on the files, the parameters and the versions."),
        "Superpixel-Facts": _header("JSON: count, base count, size, engine, version, notices."),
        "Server-Timing": _header("The server's stages, in milliseconds."),
        "Superpixel-Map": _header("With `keep`: the id of the map, for /v1/select.", required=False),
    }
    answer = {
        MEDIA_TYPES["spx"]: {"schema": _BINARY},
        MEDIA_TYPES["png"]: {"schema": _BINARY},
        MEDIA_TYPES["json"]: {"schema": _reference("Segmentation")},
    }
    return {
        "operationId": "segment",
        "summary": "Divide an image into superpixels",
        "description": "Parameters may be in the address or in the form, each of them once. Maps of guidance "
        "and a mask need a form. The same request always gives the same bytes: a request with "
        "`If-None-Match` and the `ETag` of an earlier answer gets 304 without any work.",
        "parameters": [*map(_in_query, SEGMENT), _IF_NONE_MATCH],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The superpixels.", "headers": headers, "content": answer},
            "304": {"description": "The caller has the answer already."},
            **_problems(*_ALWAYS, *_BODY, 409, 429),
        },
    }


def _select() -> dict[str, Any]:
    return {
        "operationId": "select",
        "summary": "Select an object by clicks on a kept map",
        "description": "Each request has all clicks on the object. Maps are kept by /v1/segment with "
        "`keep=true`, for the same token, until ten minutes after their last use, or until others need their "
        "memory. If several processes serve this API, ask the one that keeps the map.",
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPES["json"]: {"schema": _reference("SelectRequest")}},
        },
        "responses": {
            "200": {
                "description": "The object.",
                "content": {
                    MEDIA_TYPES["json"]: {"schema": _reference("Selection")},
                    MEDIA_TYPES["png"]: {"schema": _BINARY},
                },
            },
            **_problems(400, 401, 403, 404, 421, 503, *_BODY),
        },
    }


def _info() -> dict[str, Any]:
    return {
        "operationId": "info",
        "summary": "Versions, limits and formats of the server",
        "responses": {
            "200": {
                "description": "What the server says about itself.",
                "content": {MEDIA_TYPES["json"]: {"schema": _reference("ServerInfo")}},
            },
            **_problems(*_ALWAYS),
        },
    }


def _described_by_itself() -> dict[str, Any]:
    return {
        "operationId": "openapi",
        "summary": "This description",
        "security": [],
        "parameters": [_IF_NONE_MATCH],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1.",
                "headers": {"ETag": _header("Of this version.")},
                "content": {MEDIA_TYPES["json"]: {"schema": {"type": "object"}}},
            },
            "304": {"description": "The caller has it already."},
            **_problems(400, 403, 421),
        },
    }


def _health(name: str, summary: str, *failures: int) -> dict[str, Any]:
    status = {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "Yes.", "content": {MEDIA_TYPES["json"]: {"schema": status}}},
            **_problems(403, 421, *failures),
        },
    }


_IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "schema": _TEXT,
    "description": "The ETag of an answer that the caller has.",
}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "schema": parameter.schema,
        "description": parameter.text,
    }
    if parameter.schema["type"] == "array":
        described |= {"style": "form", "explode": False}
    return described


def _problems(*statuses: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _reference("Problem")}}
    return {str(each): {"description": _STATUS_TEXTS[each], "content": content} for each in sorted(statuses)}


def _header(text: str, *, required: bool = True) -> dict[str, Any]:
    return {"description": text, "required": required, "schema": _TEXT}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] = {}) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _select_schemas() -> dict[str, Any]:
    schema = SelectModel.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs")
    (click,) = definitions.values()
    return {"SelectRequest": schema, "ClickModel": click}


def _problem() -> dict[str, Any]:
    reasons = [*(reason.value for reason in Reason), *REASONS]
    described = _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "requestId": _TEXT,
        },
        {
            "reason": {"type": "string", "enum": reasons, "description": "Stable, for programs."},
            "code": {"type": "string", "description": "gRPC's code, if the server gave the error."},
            "field": {"type": "string", "description": "What to change."},
            "metadata": {"type": "object", "additionalProperties": _TEXT},
            "retryAfterSeconds": {"type": "number", "minimum": 0},
        },
    )
    return {**described, "description": "An error (RFC 9457)."}


def _segmentation() -> dict[str, Any]:
    level = _object({"count": _INTEGER, "labels": {**_INTEGERS, "description": "By finest region."}})
    tree = _object({"into": _INTEGERS, "order": _INTEGERS})
    return _object(
        {
            "width": _INTEGER,
            "height": _INTEGER,
            "count": _INTEGER,
            "counts": _INTEGERS,
            "base_count": _INTEGER,
            "algorithm_version": _INTEGER,
            "notices": {"type": "array", "items": _object({"code": _TEXT, "message": _TEXT})},
            "labels": {
                "type": "array",
                "items": {"type": "integer", "minimum": -1},
                "description": "The finest map, row by row, in runs: label, length, label, length, ...; the "
                "label of pixels outside the mask is -1.",
            },
            "levels": {"type": "array", "items": level},
        },
        {
            "regions": {"type": "array", "items": _reference("Region")},
            "tree": {**tree, "description": "Merges, as docs/label-map.md describes them."},
            "heights": {"type": "array", "items": {"type": "number"}},
            "map": {"type": "string", "description": "With `keep`: the id for /v1/select."},
            "prior_components": _INTEGER,
            "mask_pixels": {**_INTEGER, "description": "With a mask: pixels inside."},
            "sample_range": {**_INTEGERS, "description": "Of 16-bit images: what became 0 and 255."},
        },
    )


def _region() -> dict[str, Any]:
    def several(count: int, items: Schema) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": count, "maxItems": count}

    return _object(
        {
            "area": {**_INTEGER, "description": "Pixels."},
            "box": {
                **several(4, _INTEGER),
                "description": "x0, y0, x1, y1; x1, y1 lie one past it.",
            },
            "centroid": {**several(2, {"type": "number"}), "description": "x, y; a pixel's centre is whole."},
            "color": {**several(3, _INTEGER), "description": "Mean of the sRGB bytes."},
            "neighbors": {**_INTEGERS, "description": "Neighbours with a larger label."},
        }
    )


def _selection() -> dict[str, Any]:
    return _object(
        {
            "map": _TEXT,
            "count": _INTEGER,
            "regions": {**_INTEGERS, "description": "Regions of the level that belong to the object."},
            "area": {**_INTEGER, "description": "Pixels."},
            "box": {
                "type": ["array", "null"],
                "items": _INTEGER,
                "description": "x0, y0, x1, y1; null: the object is empty.",
            },
            "mask": {
                **_object({"size": _INTEGERS, "counts": _INTEGERS}),
                "description": "COCO's uncompressed run lengths: height, width; runs column by column.",
            },
        }
    )


def _server_info() -> dict[str, Any]:
    texts = {"type": "array", "items": _TEXT}
    return _object(
        {
            "version": _TEXT,
            "algorithm_version": _INTEGER,
            "backends": {"type": "object", "additionalProperties": _TEXT},
            "max_image_bytes": _INTEGER,
            "max_image_pixels": _INTEGER,
            "max_refinement_pixels": _INTEGER,
            "max_targets": _INTEGER,
            "compactness_range": {"type": "array", "items": {"type": "number"}},
            "compactness_default": {"type": "number"},
            "label_encodings": texts,
            "image_formats": texts,
            "guidance_version": {"type": ["integer", "null"]},
            "prior_modes": texts,
            "api": _object({"version": _TEXT, "encodings": texts, "keep_bytes": _INTEGER}),
        }
    )
