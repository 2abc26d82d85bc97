"""Which threads answer which method."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def answered_by(pool: ThreadPoolExecutor, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, run on `pool` whatever server it is added to.

    gRPC looks for the pool in an attribute of the method (its own health service sets it so); as a bound
    method cannot carry one, the method goes wrapped.
    """
    wrapped = functools.partial(behaviour)
    wrapped.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return wrapped
