"""The sha256 of each stored package, and uploads that come in chunks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the tables."""
    with op.batch_alter_table("versions") as versions:
        versions.add_column(sa.Column("artifact_sha256", sa.String(64), nullable=True))
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column(
            "account_id", sa.String(64), sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.UniqueConstraint("account_id", "sha256", "size"),
    )
    op.create_table(
        "upload_chunks",
        sa.Column(
            "upload_id", sa.String(64), sa.ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("artifact", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("upload_chunks")
    op.drop_table("uploads")
    with op.batch_alter_table("versions") as versions:
        versions.drop_column("artifact_sha256")
