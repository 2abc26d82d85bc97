"""Which images of a data set are wanted, and what they are called."""

import posixpath
from dataclasses import dataclass
from typing import Any

from superpixel_service.datasets.items import Item, Place, in_shard
from superpixel_service.datasets.names import is_url
from superpixel_service.datasets.storage import join


@dataclass(frozen=True)
class Selection:
    """Which images of the source are wanted, and which columns name what.

    Attributes:
        column: the Parquet column with the addresses; empty: found by its name.
        map_columns: by the map of guidance: the Parquet column of its addresses, or its suffix in tar files.
        map_places: by the map of guidance: a folder of maps, or one map for every image.
        shard: index and number of shards; None: all images.
    """

    column: str = ""
    map_columns: dict[str, str] | None = None
    map_places: dict[str, tuple[str, bool]] | None = None
    shard: tuple[int, int] | None = None

    def takes(self, name: str) -> bool:
        """Whether an image or a tar file belongs to the shard."""
        return self.shard is None or in_shard(name, *self.shard)


def safe_key(text: str) -> str:
    """A name in the target for an address; empty: it has none that stays in the target."""
    path = text.partition("://")[2] if is_url(text) else text
    key = posixpath.normpath(path.partition("?")[0].replace("\\", "/")).lstrip("/")
    return "" if key in ("", ".", "..") or key.startswith("../") else key


def item_of(text: str, folder: str, **known: Any) -> Item:
    """The image that a line or cell names. A relative path begins at `folder`, the list's own."""
    address = text if is_url(text) or text.startswith("/") or not folder else join(folder, text)
    key = safe_key(text)
    if not key:
        return Item(address, address, Place(address), error="its name leads out of the target")
    return Item(key, address, Place(address), **known)


def parent(address: str) -> str:
    """The folder of a file."""
    return address.rpartition("/")[0] or ("/" if address.startswith("/") else ".")
