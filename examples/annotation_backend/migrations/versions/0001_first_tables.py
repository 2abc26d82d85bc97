"""The first tables.

Revision: 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of data, in hexadecimal"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
        comment="Bytes of image files, label maps and selections, each stored once; never changed",
    )
    op.create_table(
        "images",
        sa.Column("id", sa.String(length=32), nullable=False, comment="made by the backend"),
        sa.Column(
            "name",
            sa.String(length=200),
            nullable=False,
            comment="for people; several images may have the same",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="current row of image_versions"),
        sa.Column(
            "selection_version",
            sa.Integer(),
            nullable=False,
            comment="latest row of selection_versions, or 0",
        ),
        sa.CheckConstraint("selection_version >= 0", name="ck_images_selection_version"),
        sa.CheckConstraint("version >= 1", name="ck_images_version"),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        comment="One row per image. A save changes it only if the version is still the expected one",
    )
    op.create_index("ix_images_created_at", "images", ["created_at", "id"])
    op.create_index("ix_images_name", "images", ["name"])

    op.create_table(
        "image_versions",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False, comment="1, 2, 3, ..."),
        sa.Column("file_digest", sa.String(length=64), nullable=False, comment="the image file as uploaded"),
        sa.Column("map_digest", sa.String(length=64), nullable=False, comment="its label map, SPXL"),
        sa.Column("media_type", sa.String(length=32), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False, comment="of the map, in pixels"),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("superpixels", sa.Integer(), nullable=False, comment="of the finest level"),
        sa.Column(
            "algorithm_version", sa.Integer(), nullable=False, comment="of the service that made the map"
        ),
        sa.Column("notices", sa.JSON(), nullable=False, comment="texts about how the service read the image"),
        sa.Column("author", sa.String(length=200), nullable=False, comment="empty if unknown"),
        sa.Column("restored_from", sa.Integer(), nullable=True, comment="the version that this one repeats"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["file_digest"], ["blobs.digest"], name="fk_image_versions_file_digest"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_versions_image_id"),
        sa.ForeignKeyConstraint(["map_digest"], ["blobs.digest"], name="fk_image_versions_map_digest"),
        sa.PrimaryKeyConstraint("image_id", "version", name="pk_image_versions"),
        comment="History: an image file and its label map; rows are only added",
    )
    op.create_table(
        "selection_versions",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False, comment="1, 2, 3, ..."),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="JSON of Selection.toJSON"),
        sa.Column("map_digest", sa.String(length=64), nullable=False, comment="the map it was made on"),
        sa.Column("author", sa.String(length=200), nullable=False, comment="empty if unknown"),
        sa.Column("restored_from", sa.Integer(), nullable=True, comment="the version that this one repeats"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name="fk_selection_versions_digest"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_selection_versions_image_id"),
        sa.ForeignKeyConstraint(["map_digest"], ["blobs.digest"], name="fk_selection_versions_map_digest"),
        sa.PrimaryKeyConstraint("image_id", "version", name="pk_selection_versions"),
        comment="History: what labellers selected; rows are only added",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("selection_versions")
    op.drop_table("image_versions")
    op.drop_table("images")
    op.drop_table("blobs")
