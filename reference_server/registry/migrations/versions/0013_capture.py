"""Captured calls: which models capture, and what was captured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "captures",
        sa.Column(
            "model_id", sa.String(64), sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("sample", sa.Double, nullable=False),
        sa.Column("data_key", sa.String(64), nullable=True, index=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "captured_calls",
        sa.Column(
            "model_id",
            sa.String(64),
            sa.ForeignKey("captures.model_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column(
            "account_id",
            sa.String(64),
            sa.ForeignKey("accounts.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_captured_calls_model_id_at", "captured_calls", ["model_id", "at"])
    op.create_index("ix_captured_calls_model_id_expires_at", "captured_calls", ["model_id", "expires_at"])


def downgrade() -> None:
    """Remove them; what was captured is lost."""
    op.drop_table("captured_calls")
    op.drop_table("captures")
