"""Images, label maps and selections, with their history. Every save is a new version; none is overwritten.

A save names the version that its caller has seen. If another save came first, it raises `Conflict`.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Engine, RowMapping, Select, Table, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from .schema import blobs, image_versions, images, selection_versions


class NotFound(Exception):
    """There is no such image or version; the text says which."""


class Conflict(Exception):
    """The image or its selection is no longer at the version that the caller has seen.

    Attributes:
        current: the version that it is at now; 0 if there is no selection yet.
    """

    def __init__(self, current: int) -> None:
        super().__init__(f"the current version is {current}")
        self.current = current


class OtherMap(Exception):
    """The selection was made on another label map than the image's current one."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file and the label map that the service made of it.

    Attributes:
        file: the image file as uploaded.
        label_map: SPXL bytes.
        media_type: of the file, such as "image/jpeg".
        width, height: of the map, in pixels.
        superpixels: of the finest level.
        algorithm_version: of the service.
        notices: texts about how the service read the image.
    """

    file: bytes
    label_map: bytes
    media_type: str
    width: int
    height: int
    superpixels: int
    algorithm_version: int
    notices: list[str]


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """One version of an image: the columns of `image_versions`, and the image's name."""

    image_id: str
    name: str
    version: int
    file_digest: str
    map_digest: str
    media_type: str
    width: int
    height: int
    superpixels: int
    algorithm_version: int
    notices: list[str]
    author: str
    restored_from: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SelectionVersion:
    """One version of an image's selection: the columns of `selection_versions`."""

    image_id: str
    version: int
    digest: str
    map_digest: str
    author: str
    restored_from: int | None
    created_at: datetime


class Store:
    """The store. Its methods block: call them in threads. They may run concurrently."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[engine.dialect.name]

    def create_image(self, name: str, picture: Picture, author: str = "") -> ImageVersion:
        """Store a new image as version 1."""
        image_id = uuid.uuid4().hex
        row = {"id": image_id, "name": name, "created_at": _now(), "version": 1, "selection_version": 0}
        with self._engine.begin() as connection:
            connection.execute(insert(images).values(row))
            self._add_picture(connection, image_id, 1, picture, author)
            return _image(connection, image_id, 1)

    def replace_image(self, image_id: str, seen: int, picture: Picture, author: str = "") -> ImageVersion:
        """Store `picture` as version `seen + 1`.

        Raises:
            NotFound: there is no such image.
            Conflict: its version is not `seen`.
        """
        with self._engine.begin() as connection:
            _advance(connection, image_id, images.c.version, seen)
            self._add_picture(connection, image_id, seen + 1, picture, author)
            return _image(connection, image_id, seen + 1)

    def check_image(self, image_id: str, seen: int) -> None:
        """Raise what `replace_image` would raise now."""
        current = self.image(image_id).version
        if current != seen:
            raise Conflict(current)

    def restore_image(self, image_id: str, seen: int, version: int, author: str = "") -> ImageVersion:
        """Store a copy of `version` as version `seen + 1`. Errors as for `replace_image`."""
        with self._engine.begin() as connection:
            _advance(connection, image_id, images.c.version, seen)
            _copy(connection, image_versions, image_id, version, seen + 1, author)
            return _image(connection, image_id, seen + 1)

    def image(self, image_id: str, version: int | None = None) -> ImageVersion:
        """Return a version, or the current one. Raises NotFound."""
        with self._engine.connect() as connection:
            return _image(connection, image_id, version)

    def images(self, *, name: str | None, after: str | None, limit: int) -> list[ImageVersion]:
        """Return the current versions of images, oldest image first.

        Args:
            name: only images of this name.
            after: only images that come after the one with this id.
            limit: most images to return.

        Raises:
            NotFound: there is no image with the id `after`.
        """
        query = _image_query().where(image_versions.c.version == images.c.version)
        if name is not None:
            query = query.where(images.c.name == name)
        with self._engine.connect() as connection:
            if after is not None:
                last = _head(connection, after)
                query = query.where(
                    tuple_(images.c.created_at, images.c.id) > tuple_(last["created_at"], last["id"])
                )
            rows = connection.execute(
                query.order_by(images.c.created_at, images.c.id).limit(limit)
            ).mappings()
            return [_image_version(row) for row in rows]

    def image_versions(self, image_id: str, *, before: int | None, limit: int) -> list[ImageVersion]:
        """Return an image's history, newest first; only versions below `before`. Raises NotFound."""
        query = _image_query().where(images.c.id == image_id)
        with self._engine.connect() as connection:
            rows = _history(connection, query, image_versions, image_id, before, limit)
            return [_image_version(row) for row in rows]

    def save_selection(
        self, image_id: str, seen: int, data: bytes, image: ImageVersion, author: str = ""
    ) -> SelectionVersion:
        """Store a selection as version `seen + 1`.

        Args:
            image_id: the image.
            seen: latest version that the caller has seen; 0 if there was none.
            data: its JSON, checked.
            image: the version of the image that it was checked against.
            author: who made it.

        Raises:
            NotFound: there is no such image.
            Conflict: the selection's version is not `seen`.
            OtherMap: the image has another map now.
        """
        with self._engine.begin() as connection:
            _advance(connection, image_id, images.c.selection_version, seen)
            _check_map(connection, image_id, image.map_digest)
            row = {
                "image_id": image_id,
                "version": seen + 1,
                "digest": self._add_blob(connection, data),
                "map_digest": image.map_digest,
                "author": author,
                "created_at": _now(),
            }
            connection.execute(insert(selection_versions).values(row))
            return _selection(connection, image_id, seen + 1)

    def restore_selection(self, image_id: str, seen: int, version: int, author: str = "") -> SelectionVersion:
        """Store a copy of `version` as version `seen + 1`. Errors as for `save_selection`."""
        with self._engine.begin() as connection:
            _advance(connection, image_id, images.c.selection_version, seen)
            _copy(connection, selection_versions, image_id, version, seen + 1, author)
            restored = _selection(connection, image_id, seen + 1)
            _check_map(connection, image_id, restored.map_digest)
            return restored

    def selection(self, image_id: str, version: int | None = None) -> SelectionVersion:
        """Return a version, or the latest one. Raises NotFound."""
        with self._engine.connect() as connection:
            return _selection(connection, image_id, version)

    def selection_versions(self, image_id: str, *, before: int | None, limit: int) -> list[SelectionVersion]:
        """Return the history of an image's selection, newest first. Raises NotFound."""
        query = select(selection_versions).where(selection_versions.c.image_id == image_id)
        with self._engine.connect() as connection:
            rows = _history(connection, query, selection_versions, image_id, before, limit)
            return [_selection_version(row) for row in rows]

    def blob(self, digest: str) -> bytes:
        """Return the bytes with this digest, which a version names."""
        with self._engine.connect() as connection:
            data: bytes = connection.execute(
                select(blobs.c.data).where(blobs.c.digest == digest)
            ).scalar_one()
            return data

    def _add_picture(
        self, connection: Connection, image_id: str, version: int, picture: Picture, author: str
    ) -> None:
        row = {
            "image_id": image_id,
            "version": version,
            "file_digest": self._add_blob(connection, picture.file),
            "map_digest": self._add_blob(connection, picture.label_map),
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
            "superpixels": picture.superpixels,
            "algorithm_version": picture.algorithm_version,
            "notices": picture.notices,
            "author": author,
            "created_at": _now(),
        }
        connection.execute(insert(image_versions).values(row))

    def _add_blob(self, connection: Connection, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        row = self._insert(blobs).values(digest=digest, data=data)
        connection.execute(row.on_conflict_do_nothing())
        return digest


def _advance(connection: Connection, image_id: str, head: Column[int], seen: int) -> None:
    """Count up a version in `images` if it is still `seen`. Of two concurrent saves one finds it changed."""
    changed = connection.execute(
        update(images).where(images.c.id == image_id, head == seen).values({head: seen + 1})
    )
    if changed.rowcount == 0:
        raise Conflict(_head(connection, image_id)[head.name])


def _check_map(connection: Connection, image_id: str, map_digest: str) -> None:
    if _image(connection, image_id, None).map_digest != map_digest:
        raise OtherMap


def _copy(
    connection: Connection, table: Table, image_id: str, version: int, new_version: int, author: str
) -> None:
    changed = {
        "version": new_version,
        "author": author,
        "restored_from": version,
        "created_at": _now(),
    }
    query = select(table).where(table.c.image_id == image_id, table.c.version == version)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no version {version}")
    connection.execute(insert(table).values({**row, **changed}))


def _head(connection: Connection, image_id: str) -> RowMapping:
    row = connection.execute(select(images).where(images.c.id == image_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no image {image_id}")
    return row


def _history(
    connection: Connection, query: Select[Any], table: Table, image_id: str, before: int | None, limit: int
) -> Sequence[RowMapping]:
    _head(connection, image_id)
    if before is not None:
        query = query.where(table.c.version < before)
    return connection.execute(query.order_by(table.c.version.desc()).limit(limit)).mappings().all()


def _image_query() -> Select[Any]:
    return select(images.c.name, image_versions).join_from(images, image_versions)


def _image(connection: Connection, image_id: str, version: int | None) -> ImageVersion:
    query = _image_query().where(
        images.c.id == image_id,
        image_versions.c.version == (images.c.version if version is None else version),
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        _head(connection, image_id)
        raise NotFound(f"there is no version {version} of this image")
    return _image_version(row)


def _selection(connection: Connection, image_id: str, version: int | None) -> SelectionVersion:
    query = (
        select(selection_versions)
        .join(images)
        .where(
            images.c.id == image_id,
            selection_versions.c.version == (images.c.selection_version if version is None else version),
        )
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        _head(connection, image_id)
        which = "selection" if version is None else f"version {version} of the selection"
        raise NotFound(f"there is no {which} of this image")
    return _selection_version(row)


def _image_version(row: RowMapping) -> ImageVersion:
    return ImageVersion(**{**row, "created_at": _in_utc(row["created_at"])})


def _selection_version(row: RowMapping) -> SelectionVersion:
    return SelectionVersion(**{**row, "created_at": _in_utc(row["created_at"])})


def _now() -> datetime:
    return datetime.now(UTC)


def _in_utc(time: datetime) -> datetime:
    """SQLite returns times without their zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
