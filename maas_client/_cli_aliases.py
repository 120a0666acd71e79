"""`maas aliases`: where a model's aliases point, and where they are to point."""

from __future__ import annotations

import click

from maas_client._cli import _FORCE, _JSON, _MODEL, _Options, _with_options, main
from maas_client._cli_output import _show, _table, _time


@main.group()
def aliases() -> None:
    """Show and move a model's aliases, `default` among them."""


@aliases.command("list")
@_MODEL
@_JSON
@_with_options
def list_aliases(options: _Options, name: str, *, as_json: bool) -> None:
    """List where a model's aliases point."""
    with options.client() as client:
        found = list(client.model(name).aliases.list())
    rows = (
        [alias.name, str(alias.version), _time(alias.moved_at), alias.moved_by or "", alias.note]
        for alias in found
    )
    _table(found, ("ALIAS", "VERSION", "MOVED", "BY", "WHY"), rows, as_json=as_json)


@aliases.command("move")
@_MODEL
@click.argument("alias")
@click.argument("version", type=click.IntRange(1))
@click.option("--note", default="", help="Why.")
@_FORCE
@_JSON
@_with_options
def move_alias(
    options: _Options, name: str, alias: str, version: int, *, note: str, force: bool, as_json: bool
) -> None:
    """Point an alias to a version."""
    with options.client() as client:
        moved = client.model(name).aliases.move(alias, version=version, note=note, force=force)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is now version {moved.version}")


@aliases.command("rollback")
@_MODEL
@click.argument("alias", default="default")
@click.option("--note", default="", help="Why.")
@_FORCE
@_JSON
@_with_options
def roll_back_alias(
    options: _Options, name: str, alias: str, *, note: str, force: bool, as_json: bool
) -> None:
    """Point an alias (`default` if left out) to where it pointed before."""
    with options.client() as client:
        moved = client.model(name).aliases.rollback(alias, note=note, force=force)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is again version {moved.version}")
