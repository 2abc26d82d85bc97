"""Network addresses as people write them: HOST:PORT, and gRPC's names."""

import ipaddress
import re

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s/]+):(?P<port>\d{1,5})")
_SCHEME = re.compile(r"(unix|unix-abstract|ipv4|ipv6|dns):(?:///)?(.*)")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT". IPv6 hosts stand in brackets, which are removed.

    Raises:
        ValueError: the address does not have that form.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:50051 or [::1]:50051; port 0 takes any free one")
    return match["host"].strip("[]"), int(match["port"])


def check_target(target: str) -> None:
    """Check the address of a server to call: HOST:PORT, or a name with one of gRPC's schemes.

    Raises:
        ValueError: it is neither.
    """
    match = _SCHEME.fullmatch(target)
    if match is None:
        split_address(target)
    elif not match[2]:
        raise ValueError(f"must have a name after {match[1]}:")


def join_address(host: str, port: int) -> str:
    """HOST:PORT, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine. The only name that counts is localhost; others are not resolved."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def stays_here(target: str) -> bool:
    """Whether every address that a gRPC target name stands for is on this machine; names are not resolved."""
    match = _SCHEME.fullmatch(target)
    scheme, rest = (match[1], match[2]) if match else ("dns", target)
    if scheme.startswith("unix"):
        return True
    hosts = rest.split(",") if scheme.startswith("ip") else [rest]
    return all(is_loopback(_without_port(host)) for host in hosts)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
