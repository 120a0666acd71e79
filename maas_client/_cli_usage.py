"""`maas usage`: what one's own account asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_output import _table

if TYPE_CHECKING:
    from datetime import datetime

    from maas_client._cli import _Options

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@main.command()
@click.option("--model", help="Only calls of this model.")
@click.option("--version", type=click.IntRange(1), help="Only calls of versions of this number.")
@click.option("--since", type=_DAY, help="The first day, in UTC.")
@click.option("--until", type=_DAY, help="The last day, in UTC.")
@_JSON
@_with_options
def usage(
    options: _Options,
    *,
    model: str | None,
    version: int | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """List what your account asked for by day, model and version, the newest day first."""
    with options.client() as client:
        found = list(
            client.usage(
                model=model,
                version=version,
                since=since.date() if since else None,
                until=until.date() if until else None,
            )
        )
    rows = (
        [
            each.day.isoformat(),
            each.model,
            str(each.version),
            f"{each.calls:,}",
            f"{each.rows:,}",
            f"{each.failures:,}",
        ]
        for each in found
    )
    _table(found, ("DAY", "MODEL", "VERSION", "CALLS", "ROWS", "FAILURES"), rows, as_json=as_json)
