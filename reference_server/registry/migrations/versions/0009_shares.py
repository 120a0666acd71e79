"""Models that are shared with named accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of shares."""
    op.create_table(
        "shares",
        _part_of("accounts.id", "account_id"),
        _part_of("models.id", "model_id"),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("bare_name", sa.String(128)),
        sa.Column("shared_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("account_id", "bare_name", name="uq_shares_account_id_bare_name"),
    )
    op.create_index("ix_shares_model_id", "shares", ["model_id"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("shares")


def _part_of(parent: str, name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), sa.ForeignKey(parent, ondelete="CASCADE"), primary_key=True)
