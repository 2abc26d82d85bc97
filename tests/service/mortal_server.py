"""`superpixel serve`, with faults on command that no test can cause from outside the process.

The command is read from the file that the environment variable MORTAL_ORDERS names, once that file exists.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import superpixel_kernels as kernels
from superpixel_service.cli import main


def end_a_worker() -> None:
    """End the thread that does interactive work, as lack of memory can."""
    worker = next(thread for thread in threading.enumerate() if thread.name == "engine-0")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(worker.ident or 0), ctypes.py_object(SystemExit)
    )


def lose_the_device() -> None:
    """From now on the kernels fail with every image, as after the loss of a device."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("the device is lost, says a library")

    kernels.segment = fail


def fail_now_and_then() -> None:
    """From now on the kernels fail with large images, as a bug would make them.

    A small image, such as the watchdog's, creates a file whose name ends with `.worked`.
    """
    whole, file = kernels.segment, Path(os.environ["MORTAL_ORDERS"])

    def fail(image: object, *arguments: object, **named: object) -> kernels.Hierarchy:
        if image.shape[0] > 64:  # type: ignore[attr-defined]
            raise RuntimeError("a bug")
        file.with_suffix(".worked").touch()
        return whole(image, *arguments, **named)  # type: ignore[arg-type]

    kernels.segment = fail  # type: ignore[assignment]


def hang_on_large() -> None:
    """From now on the kernels never return from a large image; small ones work."""
    whole = kernels.segment

    def segment(image: object, *arguments: object, **named: object) -> kernels.Hierarchy:
        while image.shape[0] > 64:  # type: ignore[attr-defined]
            time.sleep(1)
        return whole(image, *arguments, **named)  # type: ignore[arg-type]

    kernels.segment = segment  # type: ignore[assignment]


def hang() -> None:
    """From now on the kernels never return, as if a driver hangs."""

    def never(*_: object, **__: object) -> NoReturn:
        while True:
            time.sleep(1)

    kernels.segment = never


def stall(least_rows: int = 1) -> None:
    """From now on every image with `least_rows` waits for a file whose name ends with `.go`.

    A file whose name ends with `.segmented` gets a line for each image that the engine finishes.
    """
    whole, file = kernels.segment, Path(os.environ["MORTAL_ORDERS"])

    def segment(image: object, *arguments: object, **named: object) -> kernels.Hierarchy:
        if image.shape[0] >= least_rows:  # type: ignore[attr-defined]
            file.with_suffix(".stalled").touch()
            while not file.with_suffix(".go").exists():
                time.sleep(0.01)
        hierarchy = whole(image, *arguments, **named)  # type: ignore[arg-type]
        with file.with_suffix(".segmented").open("a") as finished:
            print(image.shape, file=finished)  # type: ignore[attr-defined]
        return hierarchy

    kernels.segment = segment  # type: ignore[assignment]


def stall_large() -> None:
    """As `stall`, for large images only."""
    stall(least_rows=200)


def leak() -> None:
    """From now on every image leaks four megabytes."""
    whole = kernels.segment
    kept: list[bytes] = []

    def keep(*arguments: object, **named: object) -> kernels.Hierarchy:
        kept.append(os.urandom(4_000_000))
        return whole(*arguments, **named)  # type: ignore[arg-type]

    kernels.segment = keep  # type: ignore[assignment]


ORDERS = {
    order.__name__: order
    for order in (
        end_a_worker,
        lose_the_device,
        fail_now_and_then,
        hang,
        hang_on_large,
        stall,
        stall_large,
        leak,
    )
}


def obey(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)
    ORDERS[file.read_text()]()
    file.with_suffix(".done").touch()


from_the_file = threading.Thread(target=obey, args=(Path(os.environ["MORTAL_ORDERS"]),), daemon=True)
from_the_file.start()
if Path(os.environ["MORTAL_ORDERS"]).exists():  # given before the start
    from_the_file.join()
sys.exit(main())
