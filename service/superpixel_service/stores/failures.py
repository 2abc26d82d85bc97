"""Turns the failures of stores into the service's errors.

Their own texts name paths, so callers do not get them.
"""

import structlog

from superpixel_service.contract import Reason
from superpixel_service.errors import ServiceError, StoreNotFound, StoreUnreadable, StoreUnusable
from superpixel_service.large.errors import Kind, LargeFailed

_UNUSABLE: dict[Kind, tuple[Reason, str]] = {
    "unfinished": (Reason.STORE_UNFINISHED, "the store is not finished; its run must be continued first"),
    "version": (Reason.STORE_VERSION_UNKNOWN, "the store has a layout that this server cannot read"),
    "damaged": (Reason.STORE_DAMAGED, "a part of the store is damaged"),
}

log = structlog.get_logger()


def as_service_error(name: str, error: LargeFailed) -> ServiceError | None:
    """The error for the caller, or None: the failure is not one of the store.

    The log gets the failure's own text, except for stores that are not there: callers could fill the log.
    """
    if error.kind == "missing":
        return StoreNotFound()
    if not error.kind:
        return None
    log.warning("store_failed", store=name, kind=error.kind, error=str(error))
    if error.kind in _UNUSABLE:
        reason, text = _UNUSABLE[error.kind]
        return StoreUnusable(reason, text, field="store")
    return StoreUnreadable()
