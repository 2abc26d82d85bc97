"""Reads a form in memory (multipart/form-data, RFC 7578). It copies no part and writes no file."""

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header


class Malformed(Exception):
    """The bytes are no such form, or it has too many parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a form.

    Attributes:
        name: of the field.
        is_file: whether the part names a file.
        content: its bytes.
    """

    name: str
    is_file: bool
    content: memoryview


def read_parts(content_type: str, body: bytes, most: int) -> list[Part]:
    """The parts of a form.

    Args:
        content_type: of the request; it names the boundary.
        body: the whole form.
        most: most parts.

    Raises:
        Malformed: it is no form, is incomplete, or has more parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Malformed
    reader = _Reader(body, most)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.part_begins,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_ends,
                "on_part_data": reader.part_data,
                "on_part_end": reader.part_ends,
                "on_end": reader.form_ends,
            },
        )
        parser.write(body)
    except (FormParserError, UnicodeDecodeError, ValueError):
        raise Malformed from None
    if not reader.is_complete:
        raise Malformed
    return reader.parts


class _Reader:
    def __init__(self, body: bytes, most: int) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._body = memoryview(body)
        self._most = most

    def part_begins(self) -> None:
        if len(self.parts) == self._most:
            raise Malformed
        self._disposition = ""
        self._header_name = self._header_value = b""
        self._start = self._end = 0

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value.decode("utf-8")
        self._header_name = self._header_value = b""

    def part_data(self, _data: bytes, start: int, end: int) -> None:
        # The body is one piece, so what the parser passes on is a part of it, and pieces follow each other.
        self._start = self._start or start
        self._end = end

    def part_ends(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise Malformed
        name = options[b"name"].decode("utf-8", "replace")
        self.parts.append(Part(name, b"filename" in options, self._body[self._start : self._end]))

    def form_ends(self) -> None:
        self.is_complete = True
