"""Work on tiles, in threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from superpixel_kernels.cpu import _engine
from superpixel_kernels.tiled.store import Tile


def in_threads(
    threads: int, tiles: Iterable[Tile], work: Callable[[Tile], None], cancel: _engine.CancelToken | None
) -> None:
    """Do the work for all tiles; the first error ends it after the tiles that are under way."""
    waiting = iter(tiles)
    lock = threading.Lock()
    stop = threading.Event()

    def take() -> Tile | None:
        with lock:
            return None if stop.is_set() else next(waiting, None)

    def loop() -> None:
        try:
            while (tile := take()) is not None:
                if cancel is not None:
                    cancel.begin_step()
                work(tile)
        except BaseException:
            stop.set()
            raise

    if threads == 1:
        loop()
        return
    with ThreadPoolExecutor(threads, "superpixel-tile") as pool:
        loops = [pool.submit(loop) for _ in range(threads)]
        try:
            for one in loops:
                one.result()
        finally:
            stop.set()
