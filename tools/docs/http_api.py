"""The reference page of the HTTP API, and its OpenAPI description as a file."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from superpixel_service.api.openapi import describe

PAGE = "docs/reference/http-api.md"
FILE = "docs/reference/openapi.json"


def pages() -> dict[str, str]:
    """The files, as {path: text}."""
    description = describe()
    return {PAGE: "\n".join(_page(description)), FILE: json.dumps(description, indent=2) + "\n"}


def _page(description: Mapping[str, Any]) -> Iterator[str]:
    yield "# The HTTP API: reference"
    yield ""
    file = FILE.rpartition("/")[2]
    yield f"From [the OpenAPI 3.1 description]({file}), which the API serves at `/v1/openapi.json`. "
    yield "[The HTTP API](../http-api.md) explains it."
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield from ("", f"## {method.upper()} {path}", "", f"{operation['summary']}.")
            if "description" in operation:
                yield from ("", operation["description"])
            yield from _parameters(operation)
            yield from _body(operation)
            yield from ("", "| status | |", "|---|---|")
            for status, response in operation["responses"].items():
                kinds = ", ".join(f"`{kind}`" for kind in response.get("content", {}))
                yield f"| {status} | {response['description']}{f' {kinds}' if kinds else ''} |"
    for name, schema in description["components"]["schemas"].items():
        yield from ("", f"## {name}", "")
        if "description" in schema:
            yield from (schema["description"], "")
        yield from _members(schema)
    yield ""


def _parameters(operation: Mapping[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", ())
    if parameters:
        yield from ("", "| parameter | type | |", "|---|---|---|")
    for each in parameters:
        yield f"| `{each['name']}` ({each['in']}) | {_type(each['schema'])} | {each['description']} |"


def _body(operation: Mapping[str, Any]) -> Iterator[str]:
    if "requestBody" in operation:
        kinds = operation["requestBody"]["content"]
        yield from ("", "Body: " + ", ".join(f"`{kind}`" for kind in kinds) + ".")


def _members(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    yield from ("| member | type | |", "|---|---|---|")
    for name, member in schema["properties"].items():
        optional = "" if name in required else "Optional. "
        yield f"| `{name}` | {_type(member)} | {optional}{member.get('description', '')} |"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema's type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema and len(schema["enum"]) < 10:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema["type"]
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in schema
    ]
    return " ".join([kind, *bounds])
