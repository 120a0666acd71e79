"""`maas keys`: make, list, rotate and revoke API keys."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_output import _table, _time
from maas_client.types import SCOPES

if TYPE_CHECKING:
    from datetime import datetime

    from maas_client._cli import _Options
    from maas_client.types import Key, Scope

_MOMENT = click.DateTime(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d"])
_COLUMNS = (
    "ID",
    "NAME",
    "KEY",
    "SCOPES",
    "MODELS",
    "NETWORKS",
    "A MINUTE",
    "ROWS A DAY",
    "EXPIRES",
    "LAST USED",
    "FROM",
)


@main.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command("list")
@_JSON
@_with_options
def list_keys(options: _Options, *, as_json: bool) -> None:
    """List your keys, without their secrets."""
    with options.client() as client:
        found = list(client.keys.list())
    _table(found, _COLUMNS, map(_row, found), as_json=as_json)


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="May be repeated; models:read and predict if left out.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A model that exists for it, or a pattern: `words-*`. May be repeated.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    help="Where it may be used from, such as 203.0.113.7 or 2001:db8::/32. May be repeated.",
)
@click.option("--requests-per-minute", type=click.IntRange(1), help="The most requests in a minute.")
@click.option("--rows-per-day", type=click.IntRange(1), help="The most instances in a day, UTC.")
@click.option("--expires", type=_MOMENT, help="When it stops: 2030-01-31 (UTC) or 2030-01-31T12:00+01:00.")
@_JSON
@_with_options
def create_key(
    options: _Options,
    name: str,
    *,
    scopes: tuple[Scope, ...],
    models: tuple[str, ...],
    networks: tuple[str, ...],
    requests_per_minute: int | None,
    rows_per_day: int | None,
    expires: datetime | None,
    as_json: bool,
) -> None:
    """Make a key; its secret is printed this once."""
    with options.client() as client:
        key = client.keys.create(
            name=name,
            scopes=scopes or None,
            expires_at=expires if expires is None or expires.tzinfo else expires.replace(tzinfo=UTC),
            models=models or None,
            networks=networks or None,
            requests_per_minute=requests_per_minute,
            rows_per_day=rows_per_day,
        )
    _show_secret(key, as_json=as_json)


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=click.IntRange(0), default=0, help="Seconds for which the old secret still holds."
)
@_JSON
@_with_options
def rotate_key(options: _Options, key_id: str, *, overlap: int, as_json: bool) -> None:
    """Give a key a new secret, printed this once; its limits stay."""
    with options.client() as client:
        key = client.keys.rotate(key_id, overlap_seconds=overlap)
    _show_secret(key, as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
@_with_options
def revoke_key(options: _Options, key_id: str) -> None:
    """Revoke a key; it stops at once."""
    with options.client() as client:
        client.keys.revoke(key_id)
    click.echo(f"Revoked {key_id}.")


def _row(key: Key) -> list[str | None]:
    return [
        key.id,
        key.name,
        f"{key.prefix}…{key.last4}",
        " ".join(key.scopes),
        " ".join(key.models or ()),
        " ".join(key.networks or ()),
        _count(key.requests_per_minute),
        _count(key.rows_per_day),
        _time(key.expires_at),
        _time(key.last_used_at),
        key.last_used_from,
    ]


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _show_secret(key: Any, *, as_json: bool) -> None:  # noqa: ANN401 - a KeyCreated
    if as_json:
        click.echo(key.model_dump_json(context={"reveal": True}))
        return
    click.echo(f"{key.name} ({key.id}); its secret, shown this once:", err=True)
    click.echo(key.secret.get_secret_value())
