"""`maas-server invitations`: who may register where registration is by invitation."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from maas_client.types import Email
from reference_server.store_command import DATA_DIR, checked, settings, with_database

if TYPE_CHECKING:
    from pathlib import Path

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")


@click.group()
def invitations() -> None:
    """Make, list and revoke invitations to register; each is good for one account."""


@invitations.command()
@click.option("--email", help="Who alone may use it; whoever has it if left out.")
@click.option(
    "--expires", default="7d", show_default=True, help="For how long it holds: minutes, hours or days."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DATA_DIR
def create(*, email: str | None, expires: str, as_json: bool, data_dir: Path | None) -> None:
    """Make an invitation; it is printed this once."""
    found = settings(data_dir=data_dir)
    email = None if email is None else checked("e-mail", Email, email)
    lasts = _duration(expires)
    from reference_server.registry import invitations as registry
    from reference_server.registry.audit import by_operator
    from reference_server.security import credentials

    secret = credentials.issue("invitation")
    made = with_database(
        found,
        lambda database: by_operator(
            database,
            "invitation_made",
            lambda: registry.create(database, secret, email=email, expires_at=database.clock() + lasts),
            concerns_account=False,
        ),
    )
    if as_json:
        click.echo(json.dumps({**made.model_dump(mode="json"), "secret": secret.secret}, indent=2))
        return
    whom = "" if made.email is None else f", for {made.email}"
    click.echo(
        f"invitation {made.id}{whom}, until {made.expires_at:%Y-%m-%d %H:%M:%S} UTC; shown this once:",
        err=True,
    )
    click.echo(secret.secret)


@invitations.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DATA_DIR
def list_(*, as_json: bool, data_dir: Path | None) -> None:
    """List every invitation, the newest first."""
    from reference_server.registry import invitations as registry

    found = with_database(settings(data_dir=data_dir), registry.list_invitations)
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    for each in found:
        whom = each.used_by or each.email or "anybody"
        click.echo(
            f"{each.prefix:<18} {each.state:<8} {whom:<36} {each.expires_at:%Y-%m-%d %H:%M:%S} UTC  {each.id}"
        )


@invitations.command()
@click.argument("invitation")
@DATA_DIR
def revoke(invitation: str, *, data_dir: Path | None) -> None:
    """Revoke an invitation, by its id or the beginning that the list shows."""
    from reference_server.registry import invitations as registry
    from reference_server.registry.audit import by_operator

    with_database(
        settings(data_dir=data_dir),
        lambda database: by_operator(
            database,
            "invitation_revoked",
            lambda: registry.revoke(database, invitation),
            concerns_account=False,
        ),
    )
    click.echo(f"{invitation} is revoked")


def _duration(text: str) -> timedelta:
    form = _DURATION.fullmatch(text)
    if form is None:
        raise click.UsageError(f"--expires is {text!r:.50}, expected such as 30m, 12h or 7d")
    return timedelta(**{_UNITS[form[2]]: int(form[1])})
