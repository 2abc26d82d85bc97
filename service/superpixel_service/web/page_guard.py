"""What guards the pages: who may call them, and what their files may load."""

from collections.abc import Collection

from starlette.middleware import Middleware

from superpixel_service.http.guard import Ended, Guard, log_request
from superpixel_service.http.origin import Site
from superpixel_service.web.files import POLICY

_EVENT = "page_request"

_CONTENT_SECURITY_POLICY = "; ".join(
    f"{name} {value}" for name, value in {**POLICY, "frame-ancestors": "'none'"}.items()
)
_POLICIES = {
    path: _CONTENT_SECURITY_POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    for path in ("/page/engine-worker.js", "/src/engine/worker.js")
}
"""Only these workers run WebAssembly. A worker has the policy of its own file."""


def page_guard(names: Collection[str]) -> Middleware:
    """The middleware of an application that serves a page.

    Args:
        names: host names of the page, besides localhost and IP addresses.
    """
    site = Site(frozenset(name.lower() for name in names), "only the page of this gateway may call it")
    return Middleware(Guard, site=site, policy=_policy_of, event=_EVENT, report=_report)


def _report(ended: Ended) -> None:
    if ended.path.startswith("/api/"):
        log_request(_EVENT, ended)


def _policy_of(path: str) -> str:
    return _POLICIES.get(path, _CONTENT_SECURITY_POLICY)
