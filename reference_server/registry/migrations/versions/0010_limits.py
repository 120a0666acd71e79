"""Limits of keys and accounts, rows by day, invitations, and where keys were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LIMITS = ("requests_per_minute", "rows_per_day")


def upgrade() -> None:
    """Add the columns and the tables."""
    with op.batch_alter_table("accounts") as accounts:
        for name in _LIMITS:
            accounts.add_column(sa.Column(name, sa.BigInteger, nullable=True))
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("last_used_from", sa.String(64), nullable=True))
        for name in ("models", "networks", "counted_with"):
            keys.add_column(sa.Column(name, sa.JSON, nullable=True))
        for name in _LIMITS:
            keys.add_column(sa.Column(name, sa.BigInteger, nullable=True))
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("email", sa.String(254), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.String(64), nullable=True),
        sa.UniqueConstraint("hash", name="uq_invitations_hash"),
        sa.ForeignKeyConstraint(
            ["used_by"], ["accounts.id"], name="fk_invitations_used_by", ondelete="SET NULL"
        ),
    )
    op.create_table(
        "row_counts",
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("worker", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("granted", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("row_counts")
    op.drop_table("invitations")
    with op.batch_alter_table("api_keys") as keys:
        for name in (*_LIMITS, "counted_with", "networks", "models", "last_used_from"):
            keys.drop_column(name)
    with op.batch_alter_table("accounts") as accounts:
        for name in _LIMITS:
            accounts.drop_column(name)
