"""The tables. After a change here: `python -m examples.annotation_backend revision "what changed"`."""

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(64), primary_key=True, comment="SHA-256 of data, in hexadecimal"),
    Column("data", LargeBinary, nullable=False),
    comment="Bytes of image files, label maps and selections, each stored once; never changed",
)

images = Table(
    "images",
    metadata,
    Column("id", String(32), primary_key=True, comment="made by the backend"),
    Column("name", String(200), nullable=False, comment="for people; several images may have the same"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False, comment="current row of image_versions"),
    Column("selection_version", Integer, nullable=False, comment="latest row of selection_versions, or 0"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("selection_version >= 0", name="selection_version"),
    comment="One row per image. A save changes it only if the version is still the expected one",
)
Index("ix_images_created_at", images.c.created_at, images.c.id)
Index("ix_images_name", images.c.name)

image_versions = Table(
    "image_versions",
    metadata,
    Column("image_id", ForeignKey("images.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False, comment="1, 2, 3, ..."),
    Column("file_digest", ForeignKey("blobs.digest"), nullable=False, comment="the image file as uploaded"),
    Column("map_digest", ForeignKey("blobs.digest"), nullable=False, comment="its label map, SPXL"),
    Column("media_type", String(32), nullable=False),
    Column("width", Integer, nullable=False, comment="of the map, in pixels"),
    Column("height", Integer, nullable=False),
    Column("superpixels", Integer, nullable=False, comment="of the finest level"),
    Column("algorithm_version", Integer, nullable=False, comment="of the service that made the map"),
    Column("notices", JSON, nullable=False, comment="texts about how the service read the image"),
    Column("author", String(200), nullable=False, comment="empty if unknown"),
    Column("restored_from", Integer, comment="the version that this one repeats"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    comment="History: an image file and its label map; rows are only added",
)

selection_versions = Table(
    "selection_versions",
    metadata,
    Column("image_id", ForeignKey("images.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False, comment="1, 2, 3, ..."),
    Column("digest", ForeignKey("blobs.digest"), nullable=False, comment="JSON of Selection.toJSON"),
    Column("map_digest", ForeignKey("blobs.digest"), nullable=False, comment="the map it was made on"),
    Column("author", String(200), nullable=False, comment="empty if unknown"),
    Column("restored_from", Integer, comment="the version that this one repeats"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    comment="History: what labellers selected; rows are only added",
)
