"""Versions whose package is withheld, as they hold a base's weights."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark; until now only those trained on a base who could download it."""
    with op.batch_alter_table("versions") as columns:
        columns.add_column(sa.Column("withheld_by", sa.JSON, nullable=True))


def downgrade() -> None:
    """Remove it; an older server gives the package of such a version to whoever may download its model."""
    with op.batch_alter_table("versions") as columns:
        columns.drop_column("withheld_by")
