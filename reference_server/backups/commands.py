"""`maas-server backup` and `maas-server restore`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reference_server.store_command import DATA_DIR, or_fail, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_server.backups.manifest import Manifest

_PATH = click.Path(path_type=Path)
_KEY_APART = (
    "The master key is not in it: without that key nobody can read what is encrypted. Keep a copy of the "
    "key, apart from the backup."
)


@click.command()
@click.argument("target", metavar="DIR|FILE.tar", type=_PATH)
@DATA_DIR
def backup(target: Path, *, data_dir: Path | None) -> None:
    """Copy the embedded store to a new folder, or to one file whose name ends in .tar.

    Servers may use the store meanwhile. An interrupted backup leaves nothing under that name. The copy holds
    everything that the store holds, for its owner alone, but never the master key.
    """
    from reference_server.backups.audited import note_backup
    from reference_server.backups.making import back_up
    from reference_server.stores import given_keys

    found = settings(data_dir=data_dir)
    with _ending_cleanly():
        made = or_fail(lambda: back_up(found, target))
    click.echo(f"{target}: {_told(made)}")
    click.echo(_KEY_APART)
    if why := or_fail(lambda: note_backup(found.database, lambda: given_keys(found))):
        click.echo(f"The store's audit log does not tell of this backup: {why}", err=True)


@click.command()
@click.argument("source", metavar="DIR|FILE.tar", type=_PATH)
@DATA_DIR
def restore(source: Path, *, data_dir: Path | None) -> None:
    """Make a data directory of a backup, which is first checked whole; nothing is overwritten.

    What was revoked, deleted or changed after the backup is as it was before.
    """
    from reference_server.backups.restoring import restore as bring_back

    found = settings(data_dir=data_dir)
    where = found.data_dir
    with _ending_cleanly():
        made = or_fail(lambda: bring_back(source, where))
    click.echo(f"{where}: {_told(made)}, of {made.made_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo("Keys and sessions that were revoked after that hold again: revoke them before you serve it.")
    click.echo(f"Give the server the master key that it had then: by default it reads {found.master_keys}.")


def _told(made: Manifest) -> str:
    return f"the database and {len(made.files) - 1} artifacts, {made.bytes / 2**20:.1f} MiB"


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    # By default SIGTERM ends a process where it is, and what was copied so far would be left behind.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted; nothing was left behind"))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
