"""`maas-server audit`, as operators type it, and what the other commands leave in the log."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing

import click
import pytest
from click.testing import CliRunner

from reference_server import cli

# Every command of the server's own, and as what it stands in the log; None for what changes nothing.
COMMANDS = {
    "accounts create": "account_made",
    "accounts list": None,
    "accounts reset-password": "password_changed",
    "accounts set-limits": "limits_changed",
    "accounts set-role": "role_changed",
    "accounts disable": "account_disabled",
    "accounts enable": "account_enabled",
    "audit export": "audit_exported",
    "audit head": None,
    "audit list": None,
    "audit prune": "audit_pruned",
    "audit verify": None,
    "backup": "backup_made",
    "doctor": None,
    "init": None,
    "invitations create": "invitation_made",
    "invitations list": None,
    "invitations revoke": "invitation_revoked",
    "keys rotate": "master_key_rotated",
    "keys status": None,
    "models add": "version_published",
    "models list": None,
    "restore": "store_restored",
    "serve": None,
    "tls self-signed": None,
}


@pytest.fixture(scope="module")
def maas_server(tmp_path_factory):
    """Return a function that runs a command on a store where each kind of change was made once."""
    store = tmp_path_factory.mktemp("store") / "data"

    def run(*command, code=0, text=None):
        result = CliRunner().invoke(cli.main, [*command, "--data-dir", str(store)], input=text)
        assert result.exit_code == code, result.output
        return result.output

    run(
        "accounts",
        "create",
        "boss@example.com",
        "--name",
        "boss",
        "--password-stdin",
        text="correct horse battery\n",
    )
    run("accounts", "reset-password", "boss", "--password-stdin", text="correct horse battery\n")
    run("accounts", "set-role", "boss", "operator")
    run("accounts", "set-limits", "boss", "--requests-per-minute", "60")
    revoked = json.loads(run("invitations", "create", "--json"))["id"]
    run("invitations", "revoke", revoked)
    run("keys", "rotate")
    run("accounts", "disable", "boss")
    run("accounts", "enable", "boss")
    run.store = store
    run("backup", str(store.with_name("backup")))
    return run


def test_every_command_is_known_to_change_something_or_not():
    """Whoever adds one says here as what it is written; the next test sees that it is."""

    def names(group, *before):
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from names(command, *before, name)
            else:
                yield " ".join((*before, name))

    assert set(names(cli.main)) == set(COMMANDS)


def test_what_operators_change_is_in_the_log(maas_server):
    """With whom it concerns; and who did it is the operator at the machine."""
    found = json.loads(maas_server("audit", "list", "--json"))
    groups = ("accounts", "backup", "invitations", "keys")
    changes = {act for name, act in COMMANDS.items() if name.startswith(groups) and act}
    assert {entry["act"] for entry in found} >= changes
    assert {entry["actor"] for entry in found} == {"operator"}
    assert len({entry["account"] for entry in found if entry["account"]}) == 1
    assert (
        maas_server("audit", "list", "--account", "boss", "--act", "role_changed").count("role_changed") == 1
    )
    assert maas_server("audit", "list", "--until", "2020-01-01") == ""


def test_a_restored_store_says_in_its_log_that_it_is_one(maas_server, tmp_path):
    """Once, at the next opening, because before it there is no master key; the chain goes on."""
    copy = tmp_path / "copy"

    def run(*command):
        result = CliRunner().invoke(cli.main, [*command, "--data-dir", str(copy)])
        assert result.exit_code == 0, result.output
        return result.output

    run("restore", str(maas_server.store.with_name("backup")))
    shutil.copy(maas_server.store / "master.key", copy)
    for _ in range(2):
        assert run("audit", "list").count("store_restored") == 1
    assert "the log is whole" in run("audit", "verify")


def test_a_backup_that_cannot_be_told_of_says_so(maas_server, tmp_path):
    """Without the master key a copy can be made, and nothing be written to the log."""
    store = tmp_path / "store"
    shutil.copytree(maas_server.store, store)
    (store / "master.key").unlink()
    result = CliRunner().invoke(cli.main, ["backup", str(tmp_path / "b"), "--data-dir", str(store)])
    assert result.exit_code == 0
    assert "audit log does not tell of this backup: there is no master key" in result.output


def test_a_change_that_fails_is_not_in_the_log(maas_server):
    """Nor is it made."""
    before = maas_server("audit", "head")
    maas_server("accounts", "disable", "nobody", code=1)
    maas_server("accounts", "create", "boss@example.com", code=1)
    assert maas_server("audit", "head") == before


def test_head_verify_export_and_prune(maas_server, tmp_path):
    """The log is whole, holds its head, and its copy is whole too; afterwards it begins later."""
    head = maas_server("audit", "head").strip()
    assert re.fullmatch(r"[1-9][0-9]*:[0-9a-f]{64}", head)
    assert "the log is whole" in maas_server(
        "audit", "verify", "--head", head, "--head", head.partition(":")[2]
    )
    file = str(tmp_path / "log.ndjson")
    assert "entries written" in maas_server("audit", "export", file)
    assert "the log is whole" in maas_server("audit", "verify", "--export", file, "--head", head)
    assert "audit_exported" in maas_server("audit", "list")
    other = f"{head.partition(':')[0]}:{'0' * 64}"
    report = json.loads(maas_server("audit", "verify", "--json", "--head", other, code=1))
    assert (report["whole"], report["faults"][0]["kind"]) == (False, "anchor")
    assert "is no head" in maas_server("audit", "verify", "--head", "12", code=2)
    assert "Abort" in maas_server("audit", "prune", "--before", "2020-01-01", code=1, text="n\n")
    assert maas_server("audit", "prune", "--before", "2020-01-01", "--yes") == "0 entries deleted\n"
    assert "entries deleted" in maas_server("audit", "prune", "--before", "2999-01-01", "--yes")
    assert "pruned up to entry" in maas_server("audit", "verify")
    assert "audit_pruned" in maas_server("audit", "list")


def test_tampering_ends_with_one_and_names_the_entry(maas_server):
    """As a script would notice it."""
    maas_server("accounts", "set-role", "boss", "user")
    seq = int(maas_server("audit", "head").partition(":")[0])
    with closing(sqlite3.connect(maas_server.store / "maas.db")) as connection, connection:
        connection.execute("UPDATE audit_entries SET act = 'role_kept' WHERE seq = ?", (seq,))
    text = maas_server("audit", "verify", code=1)
    assert f"entry {seq} was altered" in text
    assert "NOT whole" in text
    assert "was altered" in maas_server("audit", "prune", "--before", "2999-01-01", "--yes", code=1)
