"""`maas register`, `maas login` and `maas logout`."""

from __future__ import annotations

import sys

import click

from maas_client._cli import _JSON, _Options, _with_options, main
from maas_client._cli_output import _show


@main.command()
@click.option("--email", prompt="E-mail")
@click.option("--name", help="Public handle; made up when left out.")
@click.option("--invitation", help="What the operator sent you, where registration is by invitation.")
@click.option("--accept-policy", is_flag=True, help="Accept the usage policy without being asked.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_JSON
@_with_options
def register(
    options: _Options,
    *,
    email: str,
    name: str | None,
    invitation: str | None,
    accept_policy: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Register an account."""
    with options.client() as client:
        service = client.service.info()
        if service.registration == "invitation" and invitation is None:
            invitation = click.prompt("Invitation", err=True)
        policy = service.usage_policy
        if not accept_policy:
            click.echo(f"Usage policy, version {policy.version}:\n\n{policy.text}", err=True)
            click.confirm("Do you accept it?", abort=True, err=True)
        password = _password(from_stdin=password_stdin, confirm=True)
        account = client.register(
            email=email, password=password, name=name, accept_policy=policy.version, invitation=invitation
        )
    _show(account, as_json=as_json, text=f"Registered {account.name} ({account.email}). Next: maas login")


@main.command()
@click.option("--email", prompt="E-mail")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_with_options
def login(options: _Options, *, email: str, password_stdin: bool) -> None:
    """Log in and save a key in the profile, for later commands and programs."""
    with options.client() as client:
        session = client.login(email=email, password=_password(from_stdin=password_stdin), save=True)
    click.echo(f"Logged in as {session.account.name}. The key is saved in the profile.")


@main.command()
@_with_options
def logout(options: _Options) -> None:
    """Revoke the saved key and forget it."""
    with options.client() as client:
        client.logout()
    click.echo("Logged out.")


def _password(*, from_stdin: bool, confirm: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password
