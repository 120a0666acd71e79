"""Whether anything of this store may still stand in clear: only where an older server began it.

Clear things are read until they are sealed (`sealing_up.py`), and never again after that: else whoever can
write the database, but has no key, could put a clear thing of their own in the place of a sealed one. The
permission is a key of the store's, sealed by the master key, so that only a holder of that can give it; who
takes it away makes the store refuse and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_server.registry import data_keys
from reference_server.security.encryption import SealBrokenError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from reference_server.registry.database import Database

_NAME = "in clear"


def permit_where_nothing_is_sealed(db: Database) -> None:
    """Permit clear things in a store that no key seals anything of; every server asks when it opens one.

    Such a store is new or of before all sealing. One whose keys were all deleted looks alike; but then
    nothing that was sealed opens any more, and the key of the receipts is another.
    """
    with db.read() as session:
        if data_keys.masters(session):
            return
    with db.write() as session:
        # As the writer: another server may have opened it meanwhile, and sealed all.
        if not data_keys.masters(session):
            data_keys.of_store(session, _NAME)


def is_permitted(session: Session) -> bool:
    """Tell whether clear things are still expected.

    Raises:
        MasterKeyError: When the permission was not given with this store's master key.
    """
    return data_keys.known_of_store(session, _NAME) is not None


def require_permitted(session: Session, what: str) -> None:
    """Refuse a clear thing where a sealed one is expected.

    Raises:
        SealBrokenError: When everything was sealed before.
    """
    if not is_permitted(session):
        raise SealBrokenError(f"{what} stands in clear, and everything in this store was sealed before")


def end(session: Session) -> None:
    """End the permission: everything is sealed now. In a writer's session."""
    data_keys.destroy_of_store(session, _NAME)
