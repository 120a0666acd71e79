"""The audit log, the places in it that the store vouches for, and the store's own keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "store_keys",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("master", sa.String(32), nullable=False, index=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("account", sa.String(64)),
        sa.Column("actor", sa.String(64)),
        sa.Column("credential", sa.String(64)),
        sa.Column("subject", sa.String(64)),
        sa.Column("version", sa.Integer),
        sa.Column("status", sa.Integer),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.String(64)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_entries_account_seq", "audit_entries", ["account", "seq"])
    op.create_index("ix_audit_entries_actor_seq", "audit_entries", ["actor", "seq"])
    op.create_table(
        "audit_marks",
        sa.Column("name", sa.String(8), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    """Remove the tables; the log is lost with them."""
    op.drop_table("audit_marks")
    op.drop_table("audit_entries")
    op.drop_table("store_keys")
