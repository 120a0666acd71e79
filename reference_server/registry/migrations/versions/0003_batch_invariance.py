"""Whether a version's results are independent of their company, and whether its owner unloaded a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a null means that it was not measured."""
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("unloaded", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("versions") as versions:
        versions.add_column(sa.Column("batch_invariant", sa.Boolean, nullable=True))


def downgrade() -> None:
    """Drop them again."""
    with op.batch_alter_table("models") as models:
        models.drop_column("unloaded")
    with op.batch_alter_table("versions") as versions:
        versions.drop_column("batch_invariant")
