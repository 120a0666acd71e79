"""Rows of a day that jobs took and may give back, and explanations by jobs for workers to count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both; jobs of before give nothing back."""
    with op.batch_alter_table("jobs") as columns:
        columns.add_column(sa.Column("taken", sa.JSON, nullable=True))
    op.create_table(
        "job_explanations",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("made", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("job_explanations")
    with op.batch_alter_table("jobs") as columns:
        columns.drop_column("taken")
