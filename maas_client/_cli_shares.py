"""Commands of `maas` about with whom a model is shared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from maas_client._cli import _JSON, _MODEL, _with_options, main
from maas_client._cli_output import _show, _table, _time
from maas_client.types import SHARE_ROLES

if TYPE_CHECKING:
    from maas_client._cli import _Options
    from maas_client.types import ShareRole

_ACCOUNT = click.argument("account")


@main.group()
def shares() -> None:
    """Share models with named accounts: as reader, publisher or owner."""


@shares.command("list")
@_MODEL
@_JSON
@_with_options
def list_shares(options: _Options, name: str, *, as_json: bool) -> None:
    """List the accounts that a model is shared with; for its owners."""
    with options.client() as client:
        found = list(client.model(name).shares.list())
    rows = ([each.account, each.role, _time(each.shared_at)] for each in found)
    _table(found, ("ACCOUNT", "ROLE", "SINCE"), rows, as_json=as_json)


@shares.command("put")
@_MODEL
@_ACCOUNT
@click.argument("role", type=click.Choice(SHARE_ROLES))
@_JSON
@_with_options
def put_share(options: _Options, name: str, account: str, role: ShareRole, *, as_json: bool) -> None:
    """Share a model with ACCOUNT as ROLE, or change its role: `maas shares put NAME bob reader`."""
    with options.client() as client:
        made = client.model(name).shares.put(account, role)
    _show(made, as_json=as_json, text=f"{name} is shared with {made.account} as {made.role}")


@shares.command("remove")
@_MODEL
@_ACCOUNT
@_JSON
@_with_options
def remove_share(options: _Options, name: str, account: str, *, as_json: bool) -> None:
    """Share a model with ACCOUNT no more; your own name gives up what is shared with you."""
    with options.client() as client:
        client.model(name).shares.remove(account)
    said = json.dumps({"model": name, "account": account})
    click.echo(said if as_json else f"{name} is not shared with {account} any more")
