"""`superpixel serve` with a fault of its threads, once the file that FAULT_FILE names is there.

The file's text is the fault: "kill" ends gRPC's own thread of the main port, as an error in it does; "hang"
makes it wait for ever at its next event; "starve" lets no further thread start.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from grpc import _server

from superpixel_service.cli import main
from superpixel_service.transport.call_threads import grpc_threads


def kill() -> None:
    for thread in grpc_threads():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )


def hang() -> None:
    def wait_for_ever(*_: object) -> None:
        threading.Event().wait()

    _server._process_event_and_continue = wait_for_ever


def starve() -> None:
    def start(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    threading.Thread.start = start  # type: ignore[method-assign]


def wait(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)
    {"kill": kill, "hang": hang, "starve": starve}[file.read_text()]()
    file.with_suffix(".done").touch()


threading.Thread(target=wait, args=(Path(os.environ["FAULT_FILE"]),), daemon=True).start()
sys.exit(main())
