"""The export: everything that the service holds about an account, in one reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from maas_client.types import AccountExport
from reference_server.registry import (
    accounts,
    aliases,
    capture,
    events,
    jobs,
    keys,
    models,
    sessions,
    shares,
    traffic,
    usage,
    versions,
)
from reference_server.registry.tables import KeyRow, ModelRow, SessionRow

if TYPE_CHECKING:
    from reference_server.registry.database import Database


def export(db: Database, account_id: str) -> AccountExport:
    """Return it, as of one moment, without secrets.

    Raises:
        NotFound: When there is no such account.
    """
    with db.read() as session:
        account = accounts.to_account(accounts.row_of(session, account_id))
        owned = session.execute(
            select(ModelRow.id, ModelRow.name)
            .where(ModelRow.account_id == account_id)
            .order_by(ModelRow.name)
        ).all()
        open_sessions = select(SessionRow).where(SessionRow.account_id == account_id)
        made_keys = select(KeyRow).where(KeyRow.account_id == account_id)
        return AccountExport(
            account=account,
            sessions=[sessions.to_session(row) for row in session.scalars(open_sessions)],
            keys=[keys.to_key(row) for row in session.scalars(made_keys)],
            models=models.owned_models(session, account_id),
            versions=[found for id_, name in owned for found in versions.read_all(session, id_, name)],
            alias_changes={name: aliases.read_changes(session, id_) for id_, name in owned},
            jobs=jobs.all_of(session, account_id),
            events={name: events.read_all(session, id_) for id_, name in owned},
            traffic_changes={name: traffic.read_changes(session, id_) for id_, name in owned},
            usage=usage.of_account(session, account_id),
            shares={name: there for id_, name in owned if (there := shares.read_all(session, id_))},
            captures=capture.read_all(session, account_id),
            shared_with_me=shares.shared_with(session, account_id),
        )
