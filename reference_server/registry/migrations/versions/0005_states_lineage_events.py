"""Where versions come from, what became of them, and the record of what happened to a model."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from datetime import datetime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_VERSIONS = sa.table(
    "versions",
    sa.column("model_id", sa.String),
    sa.column("number", sa.Integer),
    sa.column("digest", sa.String),
    sa.column("notes", sa.Text),
    sa.column("author_id", sa.String),
    sa.column("created_at", sa.DateTime(timezone=True)),
)
_ALIAS_CHANGES = sa.table(
    "alias_changes",
    sa.column("model_id", sa.String),
    sa.column("alias", sa.String),
    sa.column("from_version", sa.Integer),
    sa.column("to_version", sa.Integer),
    sa.column("note", sa.Text),
    sa.column("moved_by", sa.String),
    sa.column("moved_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    """Add the columns and the table, and let a model have the same content more than once."""
    with op.batch_alter_table("versions") as versions:
        versions.drop_constraint("uq_versions_model_id_digest", type_="unique")
        for column in _added():
            versions.add_column(column)
    op.create_index("ix_versions_digest", "versions", ["digest"])
    events = op.create_table(
        "model_events",
        sa.Column(
            "model_id", sa.String(64), sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("details", sa.JSON, nullable=False),
    )
    _recall(events)


def downgrade() -> None:
    """Drop them again; it fails where a model has some content twice, which older servers do not know."""
    op.drop_table("model_events")
    op.drop_index("ix_versions_digest", "versions")
    with op.batch_alter_table("versions") as versions:
        for column in _added():
            versions.drop_column(column.name)
        versions.create_unique_constraint("uq_versions_model_id_digest", ["model_id", "digest"])


def _added() -> list[sa.Column[Any]]:
    return [
        sa.Column("origin", sa.String(32), nullable=False, server_default="uploaded"),
        sa.Column("parent", sa.Integer, nullable=True),
        sa.Column("lineage", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("state", sa.String(16), nullable=False, server_default="active"),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("replacement", sa.String(200), nullable=True),
        sa.Column("sunset", sa.DateTime(timezone=True), nullable=True),
        sa.Column("documentation", sa.Text, nullable=True),
    ]


def _recall(events: sa.Table) -> None:
    """Write what is known of the time before: which versions were published, and which aliases moved."""
    connection = op.get_bind()
    known = [_published(row) for row in connection.execute(sa.select(_VERSIONS))]
    known += [_moved(row) for row in connection.execute(sa.select(_ALIAS_CHANGES))]
    # Stable, so that of one moment a version's publication stays before the alias that moved to it.
    known.sort(key=lambda event: (event["model_id"], event["at"]))
    for _, group in itertools.groupby(known, key=lambda event: event["model_id"]):
        rows = [{**event, "seq": seq} for seq, event in enumerate(group, start=1)]
        connection.execute(sa.insert(events), rows)


def _published(row: sa.Row[Any]) -> dict[str, Any]:
    details = {"digest": row.digest, "origin": "uploaded", "parent": None, "notes": row.notes}
    return _event(row.model_id, "published", row.created_at, row.author_id, row.number, details)


def _moved(row: sa.Row[Any]) -> dict[str, Any]:
    details = {"alias": row.alias, "from_version": row.from_version, "note": row.note}
    return _event(row.model_id, "alias_moved", row.moved_at, row.moved_by, row.to_version, details)


def _event(  # noqa: PLR0917 - a row's columns in their order
    model_id: str,
    kind: str,
    at: datetime,
    by: str,
    version: int,
    details: dict[str, Any],
) -> dict[str, Any]:
    return {"model_id": model_id, "kind": kind, "at": at, "by": by, "version": version, "details": details}
