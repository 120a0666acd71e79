"""`maas-server init` and `keys`: the master key made, looked at, changed, and refused when it is another."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from reference_server import key_commands
from reference_server.cli import main
from reference_server.registry import accounts, data_keys, sealing_up
from reference_server.registry.artifacts import ArtifactStore
from reference_server.security import master_keys
from reference_server.settings import Settings
from reference_server.stores import open_database

if TYPE_CHECKING:
    from pathlib import Path


class Machine:
    """A data directory, and commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder)

    def __call__(self, *arguments: str):
        """Run a command on the data directory."""
        return CliRunner().invoke(main, [*arguments, "--data-dir", str(self.folder)])

    @property
    def ids(self) -> list[str]:
        """The ids of the master keys in the file."""
        return list(master_keys.read_file(self.settings.master_keys).keys)

    def account(self, database, name: str) -> str:
        """Make an account with something sealed, and return the id of its key."""
        made = accounts.create(
            database,
            email=f"{name}@b.example",
            password_hash="-",
            name=name,
            role="user",
            policy_version="1",
        )
        with database.write() as session:
            return data_keys.make(session, made.id, "version", thing="1").id


@pytest.fixture(name="machine")
def a_machine(tmp_path: Path) -> Machine:
    """Return one on which `init` was run."""
    machine = Machine(tmp_path / "data")
    assert machine("init").exit_code == 0
    return machine


def opens(database, key_id: str) -> bool:
    with database.read() as session:
        return bool(data_keys.get(session, key_id, thing="1"))


def test_init_says_where_the_key_is_and_what_to_do_with_it(tmp_path: Path) -> None:
    """And makes nothing a second time."""
    machine = Machine(tmp_path / "data")
    first, again = machine("init"), machine("init")
    assert first.exit_code == again.exit_code == 0
    assert str(machine.settings.master_keys) in first.output
    assert "made, mode 0600" in first.output
    assert "apart from the backups" in first.output
    assert "there already" in again.output
    assert stat.S_IMODE(machine.settings.master_keys.stat().st_mode) == 0o600
    assert first.output.splitlines()[-1] == again.output.splitlines()[-1]


def test_a_rotation_leaves_one_new_key(machine: Machine) -> None:
    """With which everything opens, and the old one nothing."""
    database = open_database(machine.settings)
    key_id, before = machine.account(database, "ada"), machine.ids
    old = machine.settings.master_keys.read_text()
    done = machine("keys", "rotate")
    assert (done.exit_code, machine.ids != before, len(machine.ids)) == (0, True, 1)
    # A process that serves meanwhile has the old key alone, and reads the file when it meets the new one.
    assert opens(database, key_id)
    later = machine.account(database, "bob")
    database.dispose()
    anew = open_database(machine.settings)
    assert opens(anew, key_id)
    assert opens(anew, later)
    assert data_keys.masters_in_use(anew) == set(machine.ids)
    anew.dispose()
    machine.settings.master_keys.write_text(old)
    refused = machine("keys", "status")
    assert refused.exit_code == 1
    assert len(refused.output.splitlines()) == 1
    assert before[0] in refused.output


@pytest.mark.parametrize("step", ["first write", "rewrapped", "last write"])
def test_a_rotation_that_was_killed_goes_on(machine: Machine, monkeypatch, step: str) -> None:
    """Between any two of its steps the store opens, with what is in the file then."""
    database = open_database(machine.settings)
    key_id = machine.account(database, "ada")
    database.dispose()
    before = machine.ids

    class Killed(BaseException):
        """The process ends here."""

    calls = []
    write, rewrap = master_keys.write_file, data_keys.rewrap

    def dying_write(path, keys):
        calls.append("first write" if len(keys.keys) > 1 else "last write")
        if step == "last write" and calls[-1] == step:
            raise Killed
        write(path, keys)
        if calls[-1] == step:
            raise Killed

    def dying_rewrap(*arguments):
        count = rewrap(*arguments)
        if step == "rewrapped":
            raise Killed
        return count

    monkeypatch.setattr(master_keys, "write_file", dying_write)
    monkeypatch.setattr(data_keys, "rewrap", dying_rewrap)
    with pytest.raises(Killed):
        key_commands._rotate(machine.settings, open_database(machine.settings))
    monkeypatch.undo()
    between = open_database(machine.settings)
    assert opens(between, key_id)
    between.dispose()
    assert set(before) < set(machine.ids)
    promised = machine.ids[0]
    assert machine("keys", "rotate").exit_code == 0
    assert machine.ids == [promised]
    after = open_database(machine.settings)
    assert opens(after, key_id)
    after.dispose()


def test_what_the_status_shows(machine: Machine) -> None:
    """Which keys there are and what each seals, never a key."""
    report = json.loads(machine("keys", "status", "--json").output)
    # The key that receipts are signed with, and until a server has looked the permission for clear things.
    assert report["keys"] == [{"id": machine.ids[0], "seals": 2}]
    database = open_database(machine.settings)
    sealing_up.seal_up(database, ArtifactStore(machine.settings.artifacts))
    database.dispose()
    report = json.loads(machine("keys", "status", "--json").output)
    assert report["keys"] == [{"id": machine.ids[0], "seals": 1}]
    secret = machine.settings.master_keys.read_text().strip()
    assert secret not in json.dumps(report) + machine("keys", "status").output


def test_a_key_from_elsewhere_is_not_made_here(machine: Machine, monkeypatch) -> None:
    """The command says what to do; with the new one in front it seals everything anew."""
    given = machine.settings.master_keys.read_text().strip()
    machine.settings.master_keys.unlink()
    monkeypatch.setenv("MAAS_SERVER_MASTER_KEY", given)
    refused = machine("keys", "rotate")
    assert refused.exit_code == 1
    assert "in front of the present one" in refused.output
    new = master_keys.new()
    monkeypatch.setenv("MAAS_SERVER_MASTER_KEY", f"{new.text()}{given}")
    assert machine("keys", "rotate").exit_code == 0
    monkeypatch.setenv("MAAS_SERVER_MASTER_KEY", new.text())
    assert machine("keys", "status").exit_code == 0
    assert not machine.settings.master_keys.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_server_with_a_wrong_key_does_not_start(machine: Machine) -> None:
    """It says so in one line: another key, one that others can read, or none."""
    file = machine.settings.master_keys
    right = file.read_text()
    for prepare, said in (
        (lambda: file.write_text(master_keys.new().text()), "give the key that the store was made with"),
        (lambda: file.chmod(0o644), "chmod 600"),
        (file.unlink, "put the file back"),
    ):
        file.write_text(right)
        file.chmod(0o600)
        prepare()
        refused = machine("serve", "--port", "0")
        assert refused.exit_code == 1
        assert said in refused.output
        assert len(refused.output.splitlines()) == 1
