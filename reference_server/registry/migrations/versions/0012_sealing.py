"""Which key seals each thing, and erasures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEYED = ("versions", "uploads", "jobs")


def upgrade() -> None:
    """Add the columns, empty in what was stored in clear before, and the tables."""
    for table in _KEYED:
        with op.batch_alter_table(table) as columns:
            columns.add_column(sa.Column("data_key", sa.String(64), nullable=True))
            columns.create_index(f"ix_{table}_data_key", ["data_key"])
    for table in ("jobs", "job_lines"):
        with op.batch_alter_table(table) as columns:
            columns.add_column(sa.Column("sealed", sa.LargeBinary, nullable=True))
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("object", sa.String(100), nullable=False),
        sa.Column("name_sha256", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("artifacts", sa.JSON, nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, index=True),
        sa.Column("receipt", sa.Text, nullable=True),
    )


def downgrade() -> None:
    """Remove them; what was sealed is lost with its keys."""
    op.drop_table("erasures")
    for table in ("job_lines", "jobs"):
        with op.batch_alter_table(table) as columns:
            columns.drop_column("sealed")
    for table in reversed(_KEYED):
        with op.batch_alter_table(table) as columns:
            columns.drop_index(f"ix_{table}_data_key")
            columns.drop_column("data_key")
