"""Who asked for a piece of work: callers take turns, share the limits, and have caches of their own."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote

_IPV6_PREFIX_BITS = 64
"""One machine can use every address with the same first 64 bits."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A token's owner; without tokens a network address.

    Attributes:
        token: name of the token; empty if the server has no tokens.
        address: network address, from `address_of`; empty if the call has a token, or none is known.
    """

    token: str = ""
    address: str = ""

    @property
    def name(self) -> str:
        """What distinguishes callers: each name has a fair turn."""
        return self.token or self.address


NOBODY = Caller()
"""The caller of the server's own work, and of work whose caller is unknown."""


def address_of(peer: str) -> str:
    """The address in gRPC's name of a peer ("ipv4:10.0.0.1:43210"), without the port.

    IPv6 addresses are reduced to their first 64 bits. Names of another form are returned as they are.
    """
    kind, _, place = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    host = place.rpartition(":")[0].strip("[]").partition("%")[0]
    if kind == "ipv4":
        return host
    try:
        return str(ipaddress.IPv6Network((host, _IPV6_PREFIX_BITS), strict=False).network_address)
    except ValueError:
        return peer
