"""Whether each version's results are independent of the other rows in a batch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; null means that it was not measured."""
    with op.batch_alter_table("versions") as versions:
        versions.add_column(sa.Column("batch_invariant", sa.Boolean, nullable=True))


def downgrade() -> None:
    """Drop it again."""
    with op.batch_alter_table("versions") as versions:
        versions.drop_column("batch_invariant")
