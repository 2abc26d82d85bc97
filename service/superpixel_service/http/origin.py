"""Which requests are answered: those of pages that may call, and those of programs that are no browser.

A page of another site can make a browser send requests here, by a form or by a name of its own that resolves
to this address (DNS rebinding). The browser says truthfully which name it called and which site's page sent
the request.
"""

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from superpixel_service.http.problems import Problem

_DEFAULT_PORTS = {"http": 80, "https": 443}


ANY = "*"
"""Among the origins of a site: pages of every origin may call."""


@dataclass(frozen=True, slots=True)
class Site:
    """Whose requests a server answers.

    Attributes:
        names: its host names, in lower case, besides localhost and IP addresses.
        rejection: the text for a page that may not call.
        origins: other origins whose pages may call, such as "https://labels.example", or `ANY`.
    """

    names: frozenset[str]
    rejection: str
    origins: frozenset[str] = frozenset()


def find_problem(method: str, headers: Headers, site: Site) -> Problem | None:
    """Why the request is rejected; None: it is not.

    Args:
        method: "GET" and so on.
        headers: the request's headers.
        site: of the server.
    """
    if "transfer-encoding" in headers and "content-length" in headers:
        # A proxy in front may take the other one, and see two requests where there is one (RFC 9112, 6.3).
        return Problem(HTTPStatus.BAD_REQUEST, "send Content-Length or Transfer-Encoding, and not both")
    host = headers.get("host")
    if host is not None and not _is_ours(host, site.names):
        return Problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            "this is not a name of the gateway; if it should be, start it with --allow-host NAME",
        )
    if ANY in site.origins or headers.get("origin") in site.origins:
        return None
    if _is_of_another_site(method, headers, host or "", site.names):
        return Problem(HTTPStatus.FORBIDDEN, site.rejection)
    return None


def _is_ours(host: str, names: frozenset[str]) -> bool:
    """Whether no other site can have this name: it is ours, or an address, which is never resolved."""
    name = _without_port(host)
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in names or name == "localhost" or name.endswith(".localhost")
    return True


def _is_of_another_site(method: str, headers: Headers, host: str, names: frozenset[str]) -> bool:
    site = headers.get("sec-fetch-site")
    if site == "same-origin":
        return False
    if site in {"cross-site", "same-site"}:
        # Links to the page are allowed; a form of another site navigates too, by POST.
        return headers.get("sec-fetch-mode") != "navigate" or method not in {"GET", "HEAD"}
    # Browsers do not send Sec-Fetch-Site to plain HTTP addresses of other machines.
    origin = headers.get("origin")
    if origin is None:
        return False
    sender = urlsplit(origin)
    port = _DEFAULT_PORTS.get(sender.scheme)
    same = sender.netloc.lower().removesuffix(f":{port}") == host.lower().removesuffix(f":{port}")
    return not sender.netloc or not (same or (sender.hostname or "") in names)


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name.rstrip(".") if colon and port.isdecimal() and name else host.lower().rstrip(".")
