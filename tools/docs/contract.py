"""The page about the gRPC contract, generated from protoc's descriptor and the comments in it.

It has every service, method, message, field, enumeration and value. One without a comment is an error.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from protos.generate import CONTRACT, GOOGLEAPIS, PROTOS

PAGE = "docs/reference/contract.md"

Location = tuple[int, ...]
_SYNTAX = (FileDescriptorProto.SYNTAX_FIELD_NUMBER,)
_REASON = re.compile(r"^  ([A-Z][A-Z_]+) {2,}(\S.*)$")
_KNOWN_ELSEWHERE = {".google.rpc.Status": "`google.rpc.Status`"}


class Uncommented(Exception):
    """A part of the contract has no comment; the message names it."""


def pages() -> dict[str, str]:
    """The page, as {path: text}."""
    return {PAGE: page(describe(PROTOS))}


def describe(protos: Path) -> FileDescriptorProto:
    """The descriptor of the contract in the folder `protos`, with comments."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "contract.binpb")
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{GOOGLEAPIS}"),
            *("--include_source_info", f"--descriptor_set_out={out}", CONTRACT),
        ]
        subprocess.run(command, check=True)  # noqa: S603
        files: FileDescriptorSet = FileDescriptorSet.FromString(out.read_bytes())
        return files.file[0]


def page(file: FileDescriptorProto) -> str:
    """The contract in Markdown.

    Raises:
        Uncommented: a part has no comment.
    """
    return "\n".join(_Writer(file).lines()) + "\n"


class _Writer:
    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self.comments: Mapping[Location, str] = {
            tuple(location.path): location.leading_comments for location in file.source_code_info.location
        }
        self.names = {it.name for it in file.message_type} | {it.name for it in file.enum_type}

    def lines(self) -> Iterator[str]:
        file = self.file
        yield f"# The contract: {file.package}"
        yield ""
        yield f"Generated from `protos/{CONTRACT}`, which is the contract itself."
        yield ""
        yield from _overview(self.comment(_SYNTAX, "the file"), self.prose)
        for index, service in enumerate(file.service):
            yield from self.service(service, (FileDescriptorProto.SERVICE_FIELD_NUMBER, index))
        yield from ("", "## Messages")
        for index, message in enumerate(file.message_type):
            yield from self.message(message, (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, index))
        yield from ("", "## Enumerations")
        for index, enum in enumerate(file.enum_type):
            yield from self.enum(enum, (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, index))

    def service(self, service: ServiceDescriptorProto, path: Location) -> Iterator[str]:
        yield from ("", f"## {service.name}", "", self.prose(self.comment(path, service.name)))
        for index, method in enumerate(service.method):
            name = f"{service.name}.{method.name}"
            comment = self.comment((*path, ServiceDescriptorProto.METHOD_FIELD_NUMBER, index), name)
            takes = self.link(method.input_type, stream=method.client_streaming)
            gives = self.link(method.output_type, stream=method.server_streaming)
            yield from (
                "",
                f"### {method.name}",
                "",
                f"Takes {takes}, returns {gives}.",
                "",
                self.prose(comment),
            )

    def message(self, message: DescriptorProto, path: Location) -> Iterator[str]:
        if message.nested_type or message.enum_type:
            raise NotImplementedError(f"{message.name}: nested types are not supported")
        yield from ("", f"### {message.name}", "", self.prose(self.comment(path, message.name)))
        for index, oneof in enumerate(message.oneof_decl):
            if not any(field.proto3_optional and field.oneof_index == index for field in message.field):
                at = (*path, DescriptorProto.ONEOF_DECL_FIELD_NUMBER, index)
                comment = self.comment(at, f"{message.name}.{oneof.name}")
                yield from ("", f"One of `{oneof.name}`: {self.prose(comment)}")
        if message.field:
            yield from ("", "| field | | type | |", "|---|---|---|---|")
        for index, field in enumerate(message.field):
            comment = self.comment(
                (*path, DescriptorProto.FIELD_FIELD_NUMBER, index), f"{message.name}.{field.name}"
            )
            yield f"| `{field.name}` | {field.number} | {self.type(message, field)} | {self.cell(comment)} |"

    def enum(self, enum: EnumDescriptorProto, path: Location) -> Iterator[str]:
        yield from ("", f"### {enum.name}", "", self.prose(self.comment(path, enum.name)))
        yield from ("", "| value | | |", "|---|---|---|")
        for index, value in enumerate(enum.value):
            comment = self.comment((*path, EnumDescriptorProto.VALUE_FIELD_NUMBER, index), value.name)
            yield f"| `{value.name}` | {value.number} | {self.cell(comment)} |"

    def type(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        shown = self.link(field.type_name) if field.type_name else f"`{name}`"
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"repeated {shown}"
        if field.proto3_optional:
            return f"optional {shown}"
        if field.HasField("oneof_index"):
            return f"{shown}, one of `{message.oneof_decl[field.oneof_index].name}`"
        return shown

    def link(self, full_name: str, *, stream: bool = False) -> str:
        name = full_name.removeprefix(f".{self.file.package}.")
        shown = _KNOWN_ELSEWHERE[full_name] if name not in self.names else f"[{name}](#{name.lower()})"
        return f"a stream of {shown}" if stream else shown

    def comment(self, path: Location, name: str) -> str:
        text = self.comments.get(path, "").strip("\n")
        if not text.strip():
            raise Uncommented(f"{CONTRACT}: {name} has no comment")
        return "\n".join(line.removeprefix(" ") for line in text.split("\n"))

    def prose(self, text: str) -> str:
        """A comment as Markdown: names become code, and names of the contract become links."""
        return re.sub(r"(`[^`]*`|\"[^\"\n]*\")|([^`\"]+)", lambda part: part[1] or self.plain(part[2]), text)

    def cell(self, comment: str) -> str:
        return self.prose(" ".join(comment.split())).replace("|", "\\|")

    def plain(self, text: str) -> str:
        def shown(match: re.Match[str]) -> str:
            word = match[0]
            owner = word.partition(".")[0]
            if owner in self.names:
                return f"[`{word}`](#{owner.lower()})"
            is_name = "_" in word or (word.isupper() and len(word) >= 8)  # a code or a reason
            return f"`{word}`" if is_name else word

        text = re.sub(r"[*<]", r"\\\g<0>", text)
        return re.sub(r"[A-Za-z]\w*(?:\.\w+)*", shown, text)


def _overview(comment: str, prose: Callable[[str], str]) -> Iterator[str]:
    """The file's comment, with headings one level deeper and lists of error reasons as tables."""
    rows: list[list[str]] = []
    for line in [*comment.split("\n"), ""]:
        if (reason := _REASON.match(line)) is not None:
            rows.append([reason[1], reason[2]])
            continue
        if rows and line.startswith("   "):
            rows[-1][1] += f" {line.strip()}"
            continue
        if rows:
            yield from ("", "| reason | |", "|---|---|")
            yield from (f"| `{name}` | {prose(text)} |" for name, text in rows)
            yield ""
            rows = []
        yield f"#{line}" if line.startswith("# ") else prose(line)
