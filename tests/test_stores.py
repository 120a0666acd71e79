"""Opening the store: which master key it takes, and which it refuses."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from reference_server.registry import accounts, data_keys
from reference_server.security.master_keys import MasterKeyError
from reference_server.settings import Settings
from reference_server.stores import open_database

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(bytes(32)).decode()
OTHER = base64.b64encode(bytes([1]) * 32).decode()


def _use(settings: Settings) -> str:
    """Seal something in a store, and return the id of the key that did."""
    database = open_database(settings)
    try:
        account = accounts.create(
            database, email="a@b.example", password_hash="-", name=None, role="user", policy_version="1"
        )
        with database.write() as session:
            data_keys.make(session, account.id, "version", thing="1")
        return next(iter(data_keys.masters_in_use(database)))
    finally:
        database.dispose()


def test_a_new_store_makes_its_key_and_takes_it_again(tmp_path: Path) -> None:
    """Beside the data, its owner's alone, unless the settings say where."""
    settings = Settings(data_dir=tmp_path / "data")
    _use(settings)
    made = settings.master_keys.read_bytes()
    assert stat.S_IMODE(settings.master_keys.stat().st_mode) == 0o600
    open_database(settings).dispose()
    assert settings.master_keys.read_bytes() == made


def test_a_store_whose_key_is_lost_gets_no_new_one(tmp_path: Path) -> None:
    """A new one would open nothing, and hide that."""
    settings = Settings(data_dir=tmp_path)
    _use(settings)
    settings.master_keys.unlink()
    with pytest.raises(MasterKeyError, match="put the file back"):
        open_database(settings)
    assert not settings.master_keys.exists()


def test_another_key_is_refused_and_both_are_named(tmp_path: Path) -> None:
    """Before anything is answered; given both, the store opens."""
    used = _use(Settings(data_dir=tmp_path, master_key=KEY))
    with pytest.raises(MasterKeyError, match=used) as raised:
        open_database(Settings(data_dir=tmp_path, master_key=OTHER))
    assert OTHER not in str(raised.value)
    open_database(Settings(data_dir=tmp_path, master_key=f"{OTHER} {KEY}")).dispose()
    assert not (tmp_path / "master.key").exists()


def test_a_key_comes_from_one_place(tmp_path: Path) -> None:
    """Two would have an order that nobody remembers; and settings do not show theirs."""
    with pytest.raises(ValidationError, match="give one of master_key"):
        Settings(data_dir=tmp_path, master_key=KEY, master_key_file=tmp_path / "key")
    assert KEY not in repr(Settings(data_dir=tmp_path, master_key=KEY))
