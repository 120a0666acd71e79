"""`maas-server init` and `maas-server keys`: the master key, made, looked at and changed for a new one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from reference_server.store_command import DATA_DIR, settings, with_database

if TYPE_CHECKING:
    from pathlib import Path

    from reference_server.registry.database import Database
    from reference_server.settings import Settings


@click.command()
@DATA_DIR
def init(data_dir: Path | None) -> None:
    """Make the data directory, its database and a master key; again it changes nothing."""
    found = settings(data_dir=data_dir)
    had_file = found.master_keys.exists()
    public = with_database(found, _receipt_key)
    click.echo(f"data directory: {found.data_dir}")
    if _source(found) is None:
        click.echo(f"master key: {found.master_keys} ({'there already' if had_file else 'made'}, mode 0600)")
        click.echo(
            "Keep a copy of this file apart from the backups of the data: who has both reads everything, and "
            "without it nobody does."
        )
    else:
        click.echo(f"master key: from {_source(found)}")
    click.echo(f"public key of receipts: {public}")


@click.group()
def keys() -> None:
    """Look at the master key, and change it for a new one."""


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DATA_DIR
def status(*, as_json: bool, data_dir: Path | None) -> None:
    """Tell which master keys are given, and how many keys of the store each of them seals."""
    found = settings(data_dir=data_dir)
    report = with_database(found, lambda database: _status(found, database))
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(f"source: {report['source']}")
    for each in report["keys"]:
        click.echo(f"{each['id']}  seals {each['seals']:,} keys")
    click.echo(report["advice"])


@keys.command()
@DATA_DIR
def rotate(data_dir: Path | None) -> None:
    """Make a new master key, seal every key of the store with it, and give the old one up.

    May be stopped at any moment and run again, and may be run while the server serves: its workers read the
    file anew when they meet a key that they do not know. What is stored is not encrypted again.
    """
    found = settings(data_dir=data_dir)
    new, count = with_database(found, lambda database: _rotate(found, database))
    click.echo(f"{count:,} keys are sealed by {new} now")
    if (source := _source(found)) is not None:
        click.echo(f"restart the server, and then take the old key out of {source}")


def _rotate(found: Settings, database: Database) -> tuple[str, int]:
    """Do the three steps, each as the store's writer, so that two rotations at once take their turns."""
    from reference_server.registry import audit, data_keys
    from reference_server.security.master_keys import MasterKeys, new, write_file
    from reference_server.stores import given_keys

    with database.write() as session:
        keys = given_keys(found)
        # More than one: a rotation that was stopped goes on.
        if len(keys.keys) == 1:
            _require_file(found)
            keys = MasterKeys({**new().keys, **keys.keys})
            write_file(found.master_keys, keys)
        count = data_keys.rewrap(session, keys)
        act = audit.Act("master_key_rotated", account=None, actor=audit.OPERATOR, subject=keys.present)
        audit.record(session, act)
    if _source(found) is None:
        with database.write() as session:
            keys = given_keys(found)
            if data_keys.masters(session).keys() <= {keys.present}:
                write_file(found.master_keys, MasterKeys({keys.present: keys.keys[keys.present]}))
    return keys.present, count


def _require_file(found: Settings) -> None:
    """Refuse to make a new key where this command cannot write it down."""
    if (source := _source(found)) is not None:
        raise click.ClickException(
            f"the master key comes from {source}, which this command cannot write; let that give a new key "
            "in front of the present one, on a line of its own, restart the server, and run this again"
        )


def _status(found: Settings, database: Database) -> dict[str, Any]:
    from reference_server.registry import data_keys
    from reference_server.stores import given_keys

    given = given_keys(found)
    with database.read() as session:
        used = data_keys.masters(session)
    advice = "every key is sealed by the one master key that is given"
    if len(given.keys) > 1:
        advice = "a rotation is not finished: run `maas-server keys rotate` again"
    return {
        "source": _source(found) or str(found.master_keys),
        "keys": [{"id": key, "seals": used.get(key, 0)} for key in given.keys],
        "advice": advice,
    }


def _source(found: Settings) -> str | None:
    """Return where the master key comes from in the place of a file."""
    if found.master_key is not None:
        return "MAAS_SERVER_MASTER_KEY"
    return None if found.master_key_command is None else "master_key_command"


def _receipt_key(database: Database) -> str:
    from reference_server.registry import receipts

    return receipts.signer(database).public_key
