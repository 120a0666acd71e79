"""Who serves unversioned calls, and how the versions that do compare."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "traffic_changes",
        *_key("revision"),
        sa.Column("kind", sa.String(32), nullable=False),
        *(sa.Column(name, sa.JSON, nullable=False) for name in ("splits", "segments", "shadows")),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("changed_by", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "traffic_counts",
        *_key("revision", "version"),
        *_counts("calls", "errors", "timed"),
        *_sums("log_sum", "log_squares"),
    )
    op.create_table(
        "traffic_comparisons",
        *_key("revision", "a", "b"),
        sa.Column("measure", sa.String(16), nullable=True),
        *_counts("calls", "dropped", "errors_a", "errors_b", "rows", "agreed"),
        *_sums("difference_sum", "difference_squares", "difference_max"),
        *_counts("timed"),
        *_sums("log_sum", "log_squares"),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("traffic_comparisons", "traffic_counts", "traffic_changes"):
        op.drop_table(table)


def _key(*numbers: str) -> list[sa.Column[Any]]:
    model = sa.Column(
        "model_id", sa.String(64), sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
    )
    return [
        model,
        *(sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in numbers),
    ]


def _counts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _sums(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]
