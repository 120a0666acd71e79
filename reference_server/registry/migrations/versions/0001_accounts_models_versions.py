"""Accounts and their credentials, models and their versions, aliases and their history, stored replies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "accounts",
    "sessions",
    "api_keys",
    "api_key_secrets",
    "models",
    "versions",
    "aliases",
    "alias_changes",
    "idempotency",
)


def upgrade() -> None:
    """Make the first tables."""
    _create_accounts()
    _create_credentials()
    _create_models()
    _create_versions()
    _create_aliases()
    _create_idempotency()


def downgrade() -> None:
    """Drop them, whatever refers to a table before the table."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("policy_version", sa.String(64), nullable=False),
        _time("created_at"),
    )


def _create_credentials() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        _owned_by("accounts", "account_id"),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        _time("created_at"),
        _time("expires_at", index=True),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(64), primary_key=True),
        _owned_by("accounts", "account_id"),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("last4", sa.String(4), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        _time("created_at"),
        _time("expires_at", nullable=True),
        _time("last_used_at", nullable=True),
    )
    op.create_table(
        "api_key_secrets",
        sa.Column("hash", sa.String(64), primary_key=True),
        _owned_by("api_keys", "key_id"),
        _time("valid_until", nullable=True, index=True),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.String(64), primary_key=True),
        _account("account_id"),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("public_name", sa.String(128), nullable=True, unique=True),
        sa.Column("versions_made", sa.Integer, nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("account_id", "name"),
    )


def _create_versions() -> None:
    op.create_table(
        "versions",
        _part_of_model(),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("artifact", sa.String(200), nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("task", sa.String(64), nullable=False, index=True),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        _account("author_id"),
        _time("created_at"),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("signature", sa.JSON, nullable=False),
        sa.Column("tensors", sa.JSON, nullable=False),
        sa.UniqueConstraint("model_id", "digest"),
    )


def _create_aliases() -> None:
    op.create_table(
        "aliases",
        _part_of_model(),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        _account("moved_by"),
        _time("moved_at"),
        sa.ForeignKeyConstraint(["model_id", "version"], ["versions.model_id", "versions.number"]),
    )
    op.create_table(
        "alias_changes",
        _part_of_model(),
        sa.Column("alias", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("from_version", sa.Integer, nullable=True),
        sa.Column("to_version", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        _account("moved_by"),
        _time("moved_at"),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        _time("created_at", index=True),
        _time("leased_until"),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.Column("sealed", sa.Boolean, nullable=False),
    )


def _time(name: str, *, nullable: bool = False, index: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, index=index)


def _owned_by(table: str, name: str) -> sa.Column[object]:
    owner = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.String(64), owner, nullable=False, index=True)


def _account(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(64), sa.ForeignKey("accounts.id"), nullable=False)


def _part_of_model() -> sa.Column[object]:
    model = sa.ForeignKey("models.id", ondelete="CASCADE")
    return sa.Column("model_id", sa.String(64), model, primary_key=True)
