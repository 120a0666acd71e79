"""The key by which this server signs what it says of erasures; made once, kept sealed by the master key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.registry import data_keys
from reference_server.registry.tables import StoreKeyRow
from reference_server.security.signing import Signer

if TYPE_CHECKING:
    from reference_server.registry.database import Database

_NAME = "receipts"


def prepare(db: Database) -> None:
    """Make the key if there is none yet."""
    with db.read() as session:
        if session.get(StoreKeyRow, _NAME) is not None:
            return
    with db.write() as session:
        data_keys.of_store(session, _NAME)


def signer(db: Database) -> Signer:
    """Return what signs."""
    prepare(db)
    with db.read() as session:
        return Signer(data_keys.of_store(session, _NAME))
