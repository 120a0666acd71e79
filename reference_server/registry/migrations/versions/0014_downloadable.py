"""Whether everybody who may use a model may download its packages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark; no model has it before its owner says so."""
    with op.batch_alter_table("models") as columns:
        columns.add_column(sa.Column("downloadable", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Remove it."""
    with op.batch_alter_table("models") as columns:
        columns.drop_column("downloadable")
