"""Reads addresses of images, and of their maps of guidance, from Parquet files."""

from typing import Any

from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Found, Item, Place
from superpixel_service.datasets.names import is_url
from superpixel_service.datasets.selection import Selection, item_of, parent
from superpixel_service.datasets.storage import Storage, join, locate, reason

_NAMES = ("address", "url", "uri", "path", "file", "file_name", "filename", "image", "image_url")


def read_parquet(files: list[tuple[str, str, str]], selection: Selection, storage: Storage) -> Found:
    """The images that the files list.

    Raises:
        DataSetFailed: a file cannot be read, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = Found()
    for address, _, _ in files:
        file_system, path = locate(address)
        opened = storage.checked(lambda fs=file_system, path=path: fs.open(path, "rb"), address)  # type: ignore[misc]
        with opened:
            try:
                parquet = pq.ParquetFile(opened)
                schema = parquet.schema_arrow
                column = _column(address, schema, selection.column)
                maps = {
                    name: _column(address, schema, each)
                    for name, each in (selection.map_columns or {}).items()
                }
                sizes = ["width", "height"] if {"width", "height"} <= set(schema.names) else []
                wanted = list(dict.fromkeys([column, *maps.values(), *sizes]))
                for batch in parquet.iter_batches(columns=wanted):
                    found.items += (_item(row, parent(address), column, maps) for row in batch.to_pylist())
            except (pa.ArrowException, OSError) as error:
                raise DataSetFailed(f"{address}: not a Parquet file: {reason(error)}") from None
    return found


def _column(address: str, schema: Any, wanted: str) -> str:
    import pyarrow as pa

    texts = [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    if wanted:
        if wanted in texts:
            return wanted
        problem = "is not of strings" if wanted in schema.names else "does not exist"
        raise DataSetFailed(f"{address}: the column {wanted} {problem}; {_listing(texts)}", usage=True)
    for name in _NAMES:
        if name in texts:
            return name
    if len(texts) == 1:
        return str(texts[0])
    raise DataSetFailed(
        f"{address}: name the column of the addresses by --column; {_listing(texts)}", usage=True
    )


def _listing(names: list[str]) -> str:
    return f"columns of strings: {', '.join(names)}" if names else "it has no column of strings"


def _item(row: dict[str, Any], folder: str, column: str, maps: dict[str, str]) -> Item:
    text = row[column]
    if not text:
        return Item("", "", Place(""), error=f"the column {column} is empty")
    known: dict[str, Any] = {}
    if row.get("width") and row.get("height"):
        known["pixels"] = int(row["width"]) * int(row["height"])
    if maps:
        known["maps"] = {}
        for name, each in maps.items():
            place = row[each]
            if not place:
                known["error"] = (
                    f"guidance.{name}: there is no map for this image: the column {each} is empty"
                )
            elif is_url(place) or place.startswith("/"):
                known["maps"][name] = (Place(place),)
            else:
                known["maps"][name] = (Place(join(folder, place)),)
    return item_of(text, folder, **known)
