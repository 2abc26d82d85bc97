"""The stores that are open: their merge trees and measurements are in memory, up to a limit."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from superpixel_service.contract import Reason
from superpixel_service.errors import StoreUnusable
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.store import Store

REGION_BYTES = 72
"""Memory of an open store per base region: 24 bytes of the merge tree, 48 of measurements."""


@dataclass(frozen=True, slots=True)
class OpenStore:
    """An open store.

    Attributes:
        store: the store.
        loading: held while its tree or its measurements are read, so that they are read once.
    """

    store: Store
    loading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def byte_count(self) -> int:
        """Most memory that it takes."""
        return REGION_BYTES * self.store.info.base_count


class OpenStores:
    """Opens stores and keeps them open, the least recently used closed first. Threads may share it.

    Args:
        root: the folder or URL that contains the stores.
        max_bytes: most memory of the open stores.
    """

    def __init__(self, root: str, max_bytes: int) -> None:
        self._root = root.rstrip("/")
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenStore] = OrderedDict()

    @property
    def byte_count(self) -> int:
        """Most memory that the open stores take."""
        with self._lock:
            return sum(each.byte_count for each in self._open.values())

    def get(self, name: str) -> OpenStore:
        """The store of this name, as it is now.

        Raises:
            LargeFailed: there is none, or it cannot be read.
        """
        with self._lock:
            found = self._open.get(name)
        if found is not None:
            try:
                found.store.check_present()
            except LargeFailed:
                self.close(name, found)
            else:
                with self._lock:
                    if name in self._open:
                        self._open.move_to_end(name)
                return found
        opened = OpenStore(Store(f"{self._root}/{name}"))
        if opened.byte_count <= self._max_bytes:
            self._keep(name, opened)
        return opened

    def check_size(self, opened: OpenStore) -> None:
        """Check that the tree and the measurements of a store may be in memory.

        Raises:
            StoreUnusable: they are larger than all open stores may be.
        """
        if opened.byte_count > self._max_bytes:
            raise StoreUnusable(
                Reason.STORE_TOO_LARGE,
                f"the store has {opened.store.info.base_count} base regions, which take {opened.byte_count} "
                f"bytes of memory; this server keeps at most {self._max_bytes}",
                field="store",
                metadata={"limit_bytes": str(self._max_bytes), "needed_bytes": str(opened.byte_count)},
            )

    def close(self, name: str, opened: OpenStore) -> None:
        """Forget an open store; calls that use it go on."""
        with self._lock:
            if self._open.get(name) is opened:
                del self._open[name]

    def _keep(self, name: str, opened: OpenStore) -> None:
        with self._lock:
            self._open[name] = opened
            self._open.move_to_end(name)
            while sum(each.byte_count for each in self._open.values()) > self._max_bytes:
                self._open.popitem(last=False)
