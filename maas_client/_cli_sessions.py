"""`maas sessions`: who is logged in to one's account; ended from here, all of them if need be.

The saved key cannot do this: only a log-in touches the account itself. So each command logs in, and ends its
own session when it is done.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from maas_client._cli import _JSON, _with_options, main
from maas_client._cli_account import _password
from maas_client._cli_output import _table, _time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maas_client._cli import _Options
    from maas_client._client import Client

_EMAIL = click.option("--email", prompt="E-mail", help="Whose sessions; asked for if left out.")
_PASSWORD = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def _as_logged_in(command: Callable[..., None]) -> Callable[..., None]:
    return _EMAIL(_PASSWORD(command))


@main.group()
def sessions() -> None:
    """List and end the log-in sessions of your account."""


@sessions.command("list")
@_as_logged_in
@_JSON
@_with_options
def list_sessions(options: _Options, *, email: str, password_stdin: bool, as_json: bool) -> None:
    """List the sessions that hold; the one of this command is left out."""
    with _logged_in(options, email, from_stdin=password_stdin) as client:
        found = [each for each in client.sessions.list() if not each.current]
    rows = ([each.id, _time(each.created_at), _time(each.expires_at)] for each in found)
    _table(found, ("ID", "BEGUN", "EXPIRES"), rows, as_json=as_json)


@sessions.command()
@click.argument("session_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="End every session.")
@_as_logged_in
@_with_options
def end(
    options: _Options, session_ids: tuple[str, ...], *, is_all: bool, email: str, password_stdin: bool
) -> None:
    """End sessions by their ids, or all of them; their tokens stop at once."""
    if is_all == bool(session_ids):
        raise click.UsageError("give the ids of sessions, or --all; one of the two")
    with _logged_in(options, email, from_stdin=password_stdin) as client:
        ended = session_ids or [each.id for each in client.sessions.list() if not each.current]
        for session_id in ended:
            client.sessions.end(session_id)
    click.echo(f"Ended {len(ended)} session{'' if len(ended) == 1 else 's'}.")


@contextmanager
def _logged_in(options: _Options, email: str, *, from_stdin: bool) -> Iterator[Client]:
    with options.client() as client:
        client.login(email=email, password=_password(from_stdin=from_stdin))
        try:
            yield client
        finally:
            client.sessions.end("current")
