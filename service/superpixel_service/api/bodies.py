"""The body of `POST /v1/segment`: an image file, or a form with the image, maps and parameters."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request

from superpixel_service.api.forms import Malformed, Part, read_parts
from superpixel_service.api.parameters import MALFORMED, SEGMENT, invalid, repeated, unknown
from superpixel_service.contract import Reason
from superpixel_service.http.problems import Problem

IMAGE = "image"
MAPS = ("edges", "prior", "importance")
MASK = "mask"
FILES = (IMAGE, *MAPS, MASK)
FORM = "multipart/form-data"
_BYTES = "application/octet-stream"

_MAX_FIELD_BYTES = 1 << 14
_PARAMETERS = tuple(parameter.name for parameter in SEGMENT)
_MOST_PARTS = 2 * (len(FILES) + len(_PARAMETERS))
"""More than all names, so that a repeated one is reported as such."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries.

    Attributes:
        image: the bytes of the image file.
        maps: the bytes of each map of guidance, and of the mask, by their names.
        fields: name and text of each parameter in the form.
    """

    image: bytes
    maps: Mapping[str, bytes] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by its name."""
        files = {IMAGE: self.image, **self.maps}
        return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def check_kind(request: Request) -> bool:
    """Check what the body is, before it is read; returns whether it is a form.

    Raises:
        Problem: it is neither a form nor an image file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body without a Content-Encoding")
    if kind == FORM:
        return True
    if kind in ("", _BYTES) or kind.startswith("image/"):
        return False
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the body must be an image file, with a Content-Type such as image/jpeg or {_BYTES}, or {FORM} with "
        "the image as the file `image`",
    )


def read_form(content_type: str, content: bytes) -> Body:
    """The parts of a form.

    Raises:
        Problem: it is malformed, has an unknown or a repeated part, or no image.
    """
    try:
        parts = read_parts(content_type, content, _MOST_PARTS)
    except Malformed:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"the body is no complete {FORM} with the boundary that Content-Type names, or has more than "
            f"{_MOST_PARTS} parts",
            reason=MALFORMED,
        ) from None
    files: dict[str, bytes] = {}
    fields: list[tuple[str, str]] = []
    for part in parts:
        if part.name in _PARAMETERS:
            fields.append((part.name, _text_of(part)))
        elif part.name not in FILES:
            raise unknown(part.name, (*FILES, *_PARAMETERS))
        elif part.name in files:
            raise repeated(part.name)
        elif not part.is_file:
            raise invalid(part.name, "must be a file; the part needs a file name")
        else:
            files[part.name] = bytes(part.content)
    if IMAGE not in files:
        raise invalid(
            IMAGE, "the form must have the image as a file of this name", Reason.IMAGE_MISSING.value
        )
    return Body(files.pop(IMAGE), files, tuple(fields))


def _text_of(part: Part) -> str:
    if part.is_file or len(part.content) > _MAX_FIELD_BYTES:
        raise invalid(part.name, f"must be a field of at most {_MAX_FIELD_BYTES} bytes, not a file")
    return bytes(part.content).decode("utf-8", "replace")
