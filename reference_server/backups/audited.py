"""What the audit log holds of backups: that one was made, and that a store is one that was brought back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reference_server.backups.files import write
from reference_server.errors import ServiceError
from reference_server.registry import audit
from reference_server.registry.audit import OPERATOR, Act
from reference_server.registry.database import Database, look_at_schema
from reference_server.registry.folders import sync_folder
from reference_server.security.master_keys import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reference_server.security.master_keys import MasterKeys

# A restored store has no master key yet, without which nothing is written to its log; who opens it does that.
MARK = "restored.json"


def note_backup(url: str, keys: Callable[[], MasterKeys]) -> str | None:
    """Write to the log of a store that it was copied; return why that could not be, if so.

    A store that another release serves is not brought up to date for that.

    Args:
        url: The store's database.
        keys: Returns its master keys.
    """
    schema = look_at_schema(url)
    if schema.current != schema.newest:
        return f"its tables are at revision {schema.current}, and this release writes {schema.newest}"
    try:
        database = Database(url, master_keys=keys())
    except MasterKeyError as error:
        return str(error)
    try:
        with database.write() as session:
            audit.record(session, Act("backup_made", actor=OPERATOR))
    except ServiceError as error:
        return error.message
    except MasterKeyError as error:
        return str(error)
    finally:
        database.dispose()
    return None


def mark_restored(folder: Path) -> None:
    """Leave word, in a data directory on its way, of when it was brought back."""
    write(folder / MARK, datetime.now(UTC).isoformat().encode())


def note_restored(database: Database, data_dir: Path) -> None:
    """Write to a store's log that it was brought back, if it was and nobody did so yet.

    Of two that open it at the same moment both may write it.
    """
    mark = data_dir / MARK
    if not mark.exists():
        return
    at = datetime.fromisoformat(mark.read_text(encoding="utf-8"))
    with database.write() as session:
        audit.record(session, Act("store_restored", actor=OPERATOR, at=at))
    mark.unlink(missing_ok=True)
    sync_folder(data_dir)
