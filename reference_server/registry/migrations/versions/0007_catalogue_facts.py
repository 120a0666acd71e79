"""What the catalogue sorts and filters by, beside each model; usage; measured performance."""

from __future__ import annotations

import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEYS = ("folded_name", "created_at", "updated_at", "accuracy", "latency_ms", "size", "recent_calls")
_PUBLIC = sa.text("public_name IS NOT NULL")
_ADDED = (
    ("folded_name", sa.String(128), ""),
    ("listed_version", sa.Integer, None),
    ("task", sa.String(64), None),
    ("license", sa.Text, None),
    ("accuracy", sa.Double, None),
    ("latency_ms", sa.Double, None),
    ("size", sa.BigInteger, None),
    ("recent_calls", sa.BigInteger, "0"),
    ("recent_rows", sa.BigInteger, "0"),
    ("tags", sa.Text, ""),
    ("search", sa.Text, ""),
)


def upgrade() -> None:
    """Add the columns, fill them from what each model's listed version says, then index them."""
    with op.batch_alter_table("models") as models:
        for name, kind, default in _ADDED:
            models.add_column(sa.Column(name, kind, nullable=default is None, server_default=default))
    _fill(op.get_bind())
    for key in _KEYS:
        op.create_index(f"ix_models_mine_{key}", "models", ["account_id", key, "id"])
        op.create_index(
            f"ix_models_public_{key}", "models", [key, "id"], sqlite_where=_PUBLIC, postgresql_where=_PUBLIC
        )
    _create_usage()
    _create_performance()


def downgrade() -> None:
    """Drop them again."""
    op.drop_table("version_performance")
    op.drop_table("usage")
    for key in _KEYS:
        op.drop_index(f"ix_models_public_{key}", "models")
        op.drop_index(f"ix_models_mine_{key}", "models")
    with op.batch_alter_table("models") as models:
        for name, _, _ in _ADDED:
            models.drop_column(name)


def _create_usage() -> None:
    op.create_table(
        "usage",
        _part_of("accounts.id", "account_id"),
        sa.Column("day", sa.Date, primary_key=True),
        _part_of("models.id", "model_id"),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("calls", "rows", "failures")),
    )
    op.create_index("ix_usage_model_id_day", "usage", ["model_id", "day"])


def _create_performance() -> None:
    op.create_table(
        "version_performance",
        sa.Column("model_id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("calls", "rows", "failures")),
        sa.Column("run_seconds", sa.Double, nullable=False),
        sa.Column("latencies", sa.JSON, nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("since", "updated_at")),
        sa.ForeignKeyConstraint(
            ["model_id", "version"], ["versions.model_id", "versions.number"], ondelete="CASCADE"
        ),
    )


def _part_of(parent: str, name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), sa.ForeignKey(parent, ondelete="CASCADE"), primary_key=True)


def _fill(connection: sa.Connection) -> None:
    models = sa.table(
        "models", *(sa.column(name) for name in ("id", "name", *(name for name, _, _ in _ADDED)))
    )
    filled = sa.update(models).where(models.c.id == sa.bindparam("model"))
    for model_id, name in connection.execute(sa.select(models.c.id, models.c.name)).all():
        facts = {"folded_name": name.lower(), "search": _fold(name), **_listed(connection, model_id, name)}
        connection.execute(filled.values(**facts), {"model": model_id})


def _listed(connection: sa.Connection, model_id: str, name: str) -> dict[str, Any]:
    """Return what the version that the catalogue shows, `default` or else the newest, says."""
    aliases = sa.table("aliases", *(sa.column(each) for each in ("model_id", "name", "version")))
    versions = sa.table(
        "versions",
        *(sa.column(each) for each in ("model_id", "number", "task", "size", "search")),
        sa.column("manifest", sa.JSON),
    )
    default = sa.select(aliases.c.version).where(aliases.c.model_id == model_id, aliases.c.name == "default")
    newest = sa.select(sa.func.max(versions.c.number)).where(versions.c.model_id == model_id)
    number = connection.scalar(default) or connection.scalar(newest)
    found = connection.execute(
        sa.select(versions).where(versions.c.model_id == model_id, versions.c.number == number)
    ).first()
    if found is None:
        return {}
    return {
        "listed_version": number,
        "task": found.task,
        "license": _fold(found.manifest["license"]),
        "accuracy": next(
            (each["value"] for each in found.manifest["metrics"] if each["name"].lower() == "accuracy"), None
        ),
        "size": found.size,
        "tags": "".join(f"\n{_fold(tag)}\n" for tag in found.manifest["tags"]),
        "search": f"{_fold(name)}\n{found.search}",
    }


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", " ")
