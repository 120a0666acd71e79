"""Opening the store as the settings say: its tables brought up to date, its master key found and tried."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from reference_server.backups.audited import note_restored
from reference_server.registry import in_clear, receipts
from reference_server.registry.data_keys import masters_in_use
from reference_server.registry.database import Database, upgrade
from reference_server.registry.folders import make_folder
from reference_server.security import master_keys
from reference_server.security.master_keys import MasterKeyError, MasterKeys

if TYPE_CHECKING:
    from reference_server.settings import Settings


def open_database(settings: Settings) -> Database:
    """Open the store; a new one gets a master key of its own where none is given.

    Raises:
        StoreError: When there is no such database, or what is there is none of ours.
        MasterKeyError: When the key is not there, or another than the store was sealed with.
    """
    upgrade(settings.database)
    unsealed = Database(settings.database)
    try:
        used = masters_in_use(unsealed)
        keys = _given(settings) or _of_file(settings, is_new=not used)
        keys = dataclasses.replace(keys, reread=lambda: given_keys(settings))
    finally:
        unsealed.dispose()
    if missing := sorted(used - keys.keys.keys()):
        raise MasterKeyError(
            f"this store is sealed with master key {' and '.join(missing)}, and what was given is "
            f"{', '.join(keys.keys)}; give the key that the store was made with"
        )
    database = Database(settings.database, master_keys=keys)
    in_clear.permit_where_nothing_is_sealed(database)
    receipts.prepare(database)
    note_restored(database, settings.data_dir)
    return database


def given_keys(settings: Settings) -> MasterKeys:
    """Return the master keys that the settings name; makes none.

    Raises:
        MasterKeyError: When there is none, or it cannot be read.
    """
    return _given(settings) or master_keys.read_file(settings.master_keys)


def _given(settings: Settings) -> MasterKeys | None:
    if settings.master_key is not None:
        return MasterKeys.parse(settings.master_key.get_secret_value(), source="MAAS_SERVER_MASTER_KEY")
    if settings.master_key_command is not None:
        return master_keys.run_command(settings.master_key_command)
    return None


def _of_file(settings: Settings, *, is_new: bool) -> MasterKeys:
    if is_new:
        make_folder(settings.master_keys.parent)
        master_keys.make_file(settings.master_keys)
    return master_keys.read_file(settings.master_keys)
