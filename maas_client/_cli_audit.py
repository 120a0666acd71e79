"""`maas audit`: what one's own account did, and what was done to it."""

from __future__ import annotations

from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

import click

from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_output import _table, _time
from maas_client.types import AuditAct, AuditOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from maas_client._cli import _Options
    from maas_client.types import AuditEntry

_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_COLUMNS = ("WHEN", "ACT", "OUTCOME", "COUNT", "ON", "BY", "FROM")


@main.command()
@click.option(
    "--act", type=click.Choice(get_args(AuditAct)), metavar="ACT", help="Only this act, such as key_made."
)
@click.option("--outcome", type=click.Choice(get_args(AuditOutcome)[:3]), help="Only what ended so.")
@click.option("--since", type=_MOMENT, help="The first moment, in UTC.")
@click.option("--until", type=_MOMENT, help="The moment before which all must lie, in UTC.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most entries to show."
)
@_JSON
@_with_options
def audit(
    options: _Options,
    *,
    act: Any,  # noqa: ANN401 - one of the choices
    outcome: Any,  # noqa: ANN401 - likewise
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what your account did and what was done to it, newest first."""
    with options.client() as client:
        listed = client.audit.list(
            act=act,
            outcome=outcome,
            since=since and since.replace(tzinfo=UTC),
            until=until and until.replace(tzinfo=UTC),
            page_size=min(limit, 1000),
        )
        found = list(islice(listed, limit))
    _table(found, _COLUMNS, map(_row, found), as_json=as_json)


def _row(entry: AuditEntry) -> list[str]:
    version = None if entry.version is None else f"v{entry.version}"
    on = (entry.model or entry.subject, version, entry.alias, entry.shared_with)
    return [
        _time(entry.at),
        entry.act,
        entry.outcome if entry.status is None else f"{entry.outcome} ({entry.status})",
        f"{entry.count:,}",
        " ".join(part for part in on if part is not None) or "—",
        entry.credential or entry.actor or "—",
        entry.address or "—",
    ]
