"""Calls the server's main port from within: its threads may be alive and yet handle no call."""

import errno
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import grpc
import structlog

from superpixel_service.contract import HEALTH_SERVICE

_METHOD = f"/{HEALTH_SERVICE}/Check"

_PAUSE_SECONDS = 5.0
_TIMEOUT_SECONDS = 10.0

# Failures in a row: a single one may be a stopped process, or a connection that ended at its age.
_FAILURES = 3

# Other codes are answers of the server, rejections too, so it handles calls.
_DEAD = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}

_PREFIX = "spx-call-"

_LOOK_SECONDS = 1.0
"""How long another server's socket may take to answer."""

_LONGEST_PATH = 100
"""A socket's path may have 107 bytes."""

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

log = structlog.get_logger()


class SelfCall:
    """Calls health on the main port every few seconds, on a thread of its own.

    The calls come through a socket in a folder that only this user may enter. So they need no client
    certificate, and an expired certificate does not end the server. gRPC's thread and the threads that handle
    calls are those of the network port.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._stopped = threading.Event()
        self._failures = 0

    def listen(self, server: grpc.Server) -> None:
        """Add the socket to `server`, which has not started. Without a folder for it there are no calls."""
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            _remove_left_behind(self._folder.parent)
            server.add_insecure_port(f"unix:{_checked(self._socket)}")
        except (OSError, RuntimeError) as error:
            log.warning("no_self_call", problem=str(error))
            self.stop()

    @property
    def _socket(self) -> Path:
        assert self._folder is not None  # noqa: S101 (`listen` set it)
        return self._folder / "main"

    def start(self) -> None:
        """The server has started: begin to call."""
        if self._folder is not None:
            threading.Thread(target=self._run, name="self-call", daemon=True).start()

    def stop(self) -> None:
        """Call no more, and remove the socket."""
        self._stopped.set()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def failed(self) -> bool:
        """Whether the server has not handled the last calls."""
        return self._failures >= _FAILURES

    def _run(self) -> None:
        with grpc.insecure_channel(f"unix:{self._socket}", _OPTIONS) as channel:
            check: Callable[..., Any] = channel.unary_unary(_METHOD)
            while not self._stopped.wait(_PAUSE_SECONDS):
                self._failures = 0 if _is_handled(check) or _no_file_left() else self._failures + 1
                if self._failures:
                    log.warning("self_call_failed", failures=self._failures)


def _remove_left_behind(parent: Path) -> None:
    """Remove the folders of servers that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        if _has_no_listener(folder / "main"):
            shutil.rmtree(folder, ignore_errors=True)


def _has_no_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(_LOOK_SECONDS)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # another user's; or its server is about to listen
            return False
    return False


def _checked(path: Path) -> Path:
    if len(str(path)) > _LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, "the temporary folder has a long name")
    return path


def _is_handled(check: Callable[..., Any]) -> bool:
    try:
        check(b"", timeout=_TIMEOUT_SECONDS, wait_for_ready=True)
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code() not in _DEAD
    return True


def _no_file_left() -> bool:
    """Whether the process can open no connection: callers hold too many, also after a restart."""
    try:
        socket.socket().close()
    except OSError:
        return True
    return False
