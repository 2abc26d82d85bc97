"""Names of image files and label maps."""

from superpixel_service.contract import IMAGE_SUFFIXES

SUFFIXES = tuple(suffix for suffixes in IMAGE_SUFFIXES.values() for suffix in suffixes)
"""Names of files that are taken."""

MAP_SUFFIX = ".spx"


def map_suffixes(name: str) -> tuple[str, ...]:
    """The suffixes of files of a map of guidance: "edges", "prior" or "importance"."""
    return (".png", MAP_SUFFIX, ".json") if name == "prior" else (".png",)


def suffix_of(name: str) -> str:
    """The lower-case suffix of the last part of a path, with its dot; empty: it has none."""
    last = name.rsplit("/", 1)[-1]
    dot = last.rfind(".")
    return last[dot:].lower() if 0 < dot < len(last) - 1 else ""


def is_hidden(path: str) -> bool:
    """Whether the file or a folder above it begins with a dot."""
    return path.startswith(".") or "/." in path


def is_url(text: str) -> bool:
    """Whether an address names its file system, as s3://bucket/name does."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and bool(scheme) and all(each.isalnum() or each in "+-.:" for each in scheme)


STANDARD_INPUT = "-"
LIST_SUFFIXES = (".txt", ".lst", ".list")
PARQUET_SUFFIXES = (".parquet", ".pq")
TAR_SUFFIXES = (".tar",)
COMPRESSED_TAR_SUFFIXES = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


def kind_of(source: str) -> str:
    """What an address names: "list", "parquet", "tar", "compressed tar", "pattern" or "folder"."""
    if source == STANDARD_INPUT:
        return "list"
    suffix = suffix_of(source)
    if suffix in LIST_SUFFIXES:
        return "list"
    if suffix in PARQUET_SUFFIXES:
        return "parquet"
    if source.lower().endswith(COMPRESSED_TAR_SUFFIXES):
        return "compressed tar"
    if suffix in TAR_SUFFIXES:
        return "tar"
    return "pattern" if any(each in source for each in "*?[") else "folder"
