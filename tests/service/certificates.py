"""Real certificates, and files replaced as Kubernetes replaces them."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme

DAY = 86_400.0
"""Seconds: longer than any run of the tests, which make some certificates as they are loaded."""

ALONE = ("grpc.use_local_subchannel_pool", 1)
"""A channel with a connection of its own: a new channel is a new handshake."""


def from_now(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


@dataclass(frozen=True)
class Pair:
    chain: bytes
    key: bytes


class Authority:
    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()

    def issue(self, *names: str, start: float = -60, end: float = DAY) -> Pair:
        """A certificate for the names, from `start` to `end` seconds from now."""
        leaf = self._ca.issue_cert(*names, not_before=from_now(start), not_after=from_now(end))
        return Pair(b"".join(pem.bytes() for pem in leaf.cert_chain_pems), leaf.private_key_pem.bytes())

    def credentials(self, pair: Pair | None = None) -> grpc.ChannelCredentials:
        """Of a client that trusts this authority, and shows `pair`."""
        return grpc.ssl_channel_credentials(self.pem, pair and pair.key, pair and pair.chain)


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner may read, as keys and tokens must be."""
    path.touch(0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


class SecretFolder:
    """A mounted secret: names lead through `..data`, which is replaced at once for all of them."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        self._folder = folder
        self._version = 0
        self._files: dict[str, bytes] = {}
        self.put(**files)

    def put(self, **files: bytes) -> None:
        self._files |= files
        self._version += 1
        version = self._folder / f"..version_{self._version}"
        version.mkdir()
        for name, data in self._files.items():
            write_private(version / name, data)
            link = self._folder / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        new = self._folder / "..data_new"
        new.symlink_to(version.name)
        new.replace(self._folder / "..data")

    def __getitem__(self, name: str) -> Path:
        return self._folder / name
