"""Bearer tokens: who may call which method.

The file has a line for each token, `NAME SCOPE,SCOPE sha256:HEX`, and comments from `#` on. It holds no token
but their SHA-256: whoever reads it cannot call. A plain, fast hash is right here, where passwords would need
a slow, salted one: a token is 256 bits from the system's random source, so there is no list of likely ones
to try, and no two are alike.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from superpixel_service.errors import ScopeMissing, TokenInvalid
from superpixel_service.watched import UnusableFile, WatchedFiles

SCOPES = {"Segment": "segment", "SegmentStream": "stream", "GetServerInfo": "info"}
"""The right that each method of the service wants."""

AUTHORIZATION_KEY = "authorization"

_PREFIX = "spx_"
"""Begins every token, so that programs which look for leaked secrets know one."""

_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Attributes:
        name: whose it is; the log tells it with each call.
        scopes: values of `SCOPES`.
        digest: its SHA-256, 32 bytes.
    """

    name: str
    scopes: frozenset[str]
    digest: bytes


class Tokens:
    """The tokens of a file, as of now.

    Attributes:
        file: where they are.

    Raises:
        UnusableFile: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.file: WatchedFiles[tuple[Token, ...]] = WatchedFiles(
            "tokens", [path], lambda contents: parse_tokens(contents[0])
        )

    def admit(self, metadata: Iterable[tuple[str, str | bytes]], scope: str | None) -> Token:
        """The token that a call's metadata carries.

        Args:
            metadata: as the call brought it.
            scope: what the call's method wants; None: any token will do.

        Raises:
            TokenInvalid: there is none, more than one, or one that is not in the file.
            ScopeMissing: it has not this right.
        """
        token = self._find(_sent(metadata))
        if token is None:
            raise TokenInvalid
        if scope is not None and scope not in token.scopes:
            raise ScopeMissing(scope)
        return token

    def _find(self, sent: str | None) -> Token | None:
        """All are compared, and each in the same time, whatever was sent: time tells nothing of them."""
        digest = _digest(sent or "")
        found = None
        for token in self.file.value():
            if hmac.compare_digest(token.digest, digest):
                found = token
        return None if sent is None else found


def _sent(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    values = [value for key, value in metadata if key == AUTHORIZATION_KEY]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    value = values[0]
    return value[len(_SCHEME) :].strip() if value[: len(_SCHEME)].lower() == _SCHEME else None


def new_token() -> str:
    """A token that was never there before."""
    return _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def line_of(name: str, scopes: Iterable[str], token: str) -> str:
    """The line that lets `token` in.

    Raises:
        ValueError: the name does not fit in a line.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"must be 1 to 64 of A-Z a-z 0-9 . _ @ -; got {name!r}")
    return f"{name} {','.join(sorted(set(scopes)))} sha256:{_digest(token).hex()}"


def parse_tokens(data: bytes) -> tuple[Token, ...]:
    """The tokens of a file.

    Raises:
        UnusableFile: a line is not of the form; nothing of the line is told but its number.
    """
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UnusableFile("token_file must be text") from None
    tokens = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if words:
            tokens.append(_parse(words, number))
    names = [token.name for token in tokens]
    if len(set(names)) != len(names):
        raise UnusableFile("token_file: two tokens have the same name")
    return tuple(tokens)


def _parse(words: Sequence[str], number: int) -> Token:
    match = _DIGEST.fullmatch(words[-1])
    if len(words) != 3 or match is None or not _NAME.fullmatch(words[0]):
        raise UnusableFile(
            f"token_file: line {number} must be NAME SCOPE,SCOPE sha256:HEX, as `superpixel token new` "
            "writes it"
        )
    scopes = frozenset(words[1].split(","))
    if not scopes <= set(SCOPES.values()):
        raise UnusableFile(f"token_file: line {number}: scopes are {', '.join(SCOPES.values())}")
    return Token(words[0], scopes, bytes.fromhex(match[1]))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
