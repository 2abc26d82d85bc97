"""Faults of decode processes, for tests. Python loads this file at its start if PYTHONPATH has its folder.

An image of a certain width causes a fault. The process first writes its number into a file named after the
width, in the folder that DECODE_FAULTS names.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

if "superpixel_service.images.decode_process" in sys.orig_argv:
    from superpixel_service.images import pixels

    _decode_file = pixels.decode_file
    _folder = Path(os.environ["DECODE_FAULTS"])

    def _faulty(data: Any, image: Any, *arguments: Any) -> Any:
        fault = _FAULTS.get(image.width)
        if fault is not None:
            file = _folder / str(image.width)
            is_first = not file.exists()
            with file.open("a") as numbers:
                numbers.write(f"{os.getpid()}\n")
            fault(is_first)
        return _decode_file(data, image, *arguments)

    def _spin(_is_first: bool) -> None:
        while True:
            pass

    def _sleep(_is_first: bool) -> None:
        while True:
            time.sleep(1)

    def _sleep_once(is_first: bool) -> None:
        if is_first:
            _sleep(is_first)

    def _crash(_is_first: bool) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _take_memory(_is_first: bool) -> None:
        taken = []
        while True:
            taken.append(bytearray(1 << 24))

    _FAULTS = {301: _spin, 302: _sleep, 303: _sleep_once, 304: _crash, 305: _take_memory}
    pixels.decode_file = _faulty
