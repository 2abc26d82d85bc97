"""Bearer tokens: who may call which method.

The token file has one line per token, `NAME SCOPE,SCOPE sha256:HEX`; `#` begins a comment. It holds only the
SHA-256 of each token, so a reader of the file cannot call the service. Passwords need a slow, salted hash. A
token does not: it is 256 bits from the system's random source, so it cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from superpixel_service.contract import ALL_SCOPES, AUTHORIZATION_KEY
from superpixel_service.errors import ScopeMissing, TokenInvalid
from superpixel_service.security.reloading import UnusableFile, WatchedFiles

_PREFIX = "spx_"
"""The prefix of every token, so that scanners for leaked secrets recognize one."""

_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Token:
    """A line of the token file.

    Attributes:
        name: the owner; the log shows it with each call.
        scopes: some of `ALL_SCOPES`.
        digest: its SHA-256, 32 bytes.
    """

    name: str
    scopes: frozenset[str]
    digest: bytes


class Tokens:
    """The current tokens of a file.

    Attributes:
        file: the token file.

    Raises:
        UnusableFile: the file cannot be used.
    """

    def __init__(self, path: Path, *, allow_shared: bool) -> None:
        self.file: WatchedFiles[tuple[Token, ...]] = WatchedFiles(
            "tokens", [path], lambda contents: parse_tokens(contents[0]), () if allow_shared else (path,)
        )

    def admit(self, metadata: Iterable[tuple[str, str | bytes]], scope: str | None) -> Token:
        """The token in a call's metadata.

        Args:
            metadata: as the caller sent it.
            scope: the scope that the method requires; None: any known token.

        Raises:
            TokenInvalid: the metadata has no token, more than one, or one that is not in the file.
            ScopeMissing: the token lacks the scope.
        """
        token = self._find(_sent(metadata))
        if token is None:
            raise TokenInvalid
        if scope is not None and scope not in token.scopes:
            raise ScopeMissing(scope)
        return token

    def names_with(self, scope: str) -> list[str]:
        """Names of the tokens with a scope."""
        return [token.name for token in self.file.value() if scope in token.scopes]

    def _find(self, sent: str | None) -> Token | None:
        """Compare with all tokens, each in constant time, so that the time reveals nothing about them."""
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
    """A new random token."""
    return _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def line_of(name: str, scopes: Iterable[str], token: str) -> str:
    """The line of the token file that admits `token`.

    Raises:
        ValueError: the name has characters that are not allowed.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"must be 1 to 64 of A-Z a-z 0-9 . _ @ -; got {name!r}")
    return f"{name} {','.join(sorted(set(scopes)))} sha256:{_digest(token).hex()}"


def parse_tokens(data: bytes) -> tuple[Token, ...]:
    """The tokens in the contents of a token file.

    Raises:
        UnusableFile: a line does not have the form; the text gives only its number.
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
    if not scopes <= set(ALL_SCOPES):
        raise UnusableFile(f"token_file: line {number}: scopes are {', '.join(ALL_SCOPES)}")
    return Token(words[0], scopes, bytes.fromhex(match[1]))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
