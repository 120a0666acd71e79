"""The `maas-server` command: serve, and look after accounts and models on the server's own machine."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maas_client.types import AccountName, Email, Password
from reference_server.audit_commands import audit
from reference_server.backups.commands import backup, restore
from reference_server.catalogue.commands import models
from reference_server.invitation_commands import invitations
from reference_server.key_commands import init, keys
from reference_server.store_command import DATA_DIR as _DATA_DIR
from reference_server.store_command import checked as _checked
from reference_server.store_command import or_fail as _or_fail
from reference_server.store_command import settings as _settings
from reference_server.store_command import with_database as _with_database
from reference_server.tls_command import tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from maas_client.types import Account, AuditAct
    from reference_server.registry.database import Database
    from reference_server.settings import Settings

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="maas-client")
def main() -> None:
    """Serve models, and look after accounts and models.

    Every setting is a flag here, a MAAS_SERVER_… variable, or a line of the TOML file that MAAS_SERVER_CONFIG
    names; flags win over variables, variables over the file.
    """


_COLOURS = {"ok": "green", "off": "blue", "warn": "yellow", "fail": "red"}
# What `serve` takes and `doctor` looks at.
_SETTINGS = (
    click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
    click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]"),
    _DATA_DIR,
    click.option(
        "--provider", type=click.Choice(["auto", "cpu", "cuda"]), help="ONNX Runtime execution provider."
    ),
    click.option("--workers", type=click.IntRange(1, 64), help="Worker processes.  [default: 1]"),
    click.option("--tls-cert", type=_FILE, help="PEM certificate chain; serves HTTPS."),
    click.option("--tls-key", type=_FILE, help="PEM private key of the certificate."),
    click.option(
        "--tls-client-ca", type=_FILE, help="PEM authorities; lets only clients with their certificates in."
    ),
    click.option(
        "--insecure-behind-proxy",
        is_flag=True,
        default=None,
        help="Allow plain HTTP on a non-loopback address, behind a proxy that ends TLS.",
    ),
    click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="NETWORK",
        help="A proxy, or a network of some, that is believed in X-Forwarded-For; may be repeated.",
    ),
    click.option(
        "--registration",
        type=click.Choice(["open", "invitation", "closed"]),
        help="Who may register.  [default: open]",
    ),
    click.option(
        "--console/--no-console",
        "console",
        default=None,
        help="Serve the web console at /console.  [default: console]",
    ),
    click.option("--rate-limit-url", help="Redis in which all workers count together: redis://HOST:PORT/DB."),
    click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least level logged."
    ),
)


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@main.command()
@_with_settings
@click.option("--ready-file", type=_FILE, help="Write JSON with url and pid here once requests are answered.")
@click.option("--demo", is_flag=True, help="Add a demo account, an operator account and the demo models.")
def serve(*, ready_file: Path | None, demo: bool, **flags: Any) -> None:  # noqa: ANN401 - click's values
    """Serve until SIGTERM: then readiness turns false, accepted requests finish, and the server stops."""
    settings = _settings(**flags)
    from reference_server import serving

    prepare = prepare_demo if demo else None
    _or_fail(lambda: serving.serve(settings, ready_file=ready_file, prepare=prepare))


def prepare_demo(settings: Settings) -> dict[str, str]:
    """Put the demo into the store; return what the ready file tells of it.

    Raises:
        StartError: It cannot be done.
    """
    from reference_server.demo.provisioning import provision
    from reference_server.serving import StartError

    try:
        return provision(settings, log=lambda line: click.echo(line, err=True))
    except (OSError, ValueError) as error:
        raise StartError(f"the demo cannot be prepared: {error}") from error


@main.command()
@_with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool, **flags: Any) -> None:  # noqa: ANN401 - click's values
    """Tell what a server with these settings would find here, what is missing, and what to do about it.

    Changes nothing. Ends with 0 when the server can start and its data is whole, else with 1.
    """
    settings = _settings(**flags)
    from reference_server.doctor import examine

    found = []
    for finding in examine(settings):
        found.append(finding)
        if not as_json:
            advice = f"\n{'':30}→ {finding.remedy}" if finding.remedy else ""
            state = click.style(f"{finding.state:5}", _COLOURS[finding.state])
            click.echo(f"{state} {finding.check:23} {finding.told}{advice}")
    can_start = all(finding.state != "fail" for finding in found)
    if as_json:
        report = {"can_start": can_start, "findings": [finding.as_dict() for finding in found]}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(
            "a server with these settings can start" if can_start else "mend what failed before you serve"
        )
    raise click.exceptions.Exit(0 if can_start else 1)


@main.group()
def accounts() -> None:
    """Make and change accounts; who can run this has the store's files and needs no other right."""


@accounts.command()
@click.argument("email")
@click.option("--name", help="Public handle; made up when left out.")
@click.option("--operator", is_flag=True, help="Give it the role `operator`.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_DATA_DIR
def create(
    email: str, *, name: str | None, operator: bool, password_stdin: bool, data_dir: Path | None
) -> None:
    """Make an account; a password is made up and shown once unless one is given."""
    settings = _settings(data_dir=data_dir)
    email = _checked("e-mail", Email, email)
    name = _checked("name", AccountName, name) if name is not None else None
    password, made_up = _password(from_stdin=password_stdin)
    from reference_server.registry import accounts as registry
    from reference_server.registry.audit import by_operator

    account = _with_database(
        settings,
        lambda database: by_operator(
            database,
            "account_made",
            lambda: registry.create(
                database,
                email=email,
                password_hash=_hash(password),
                name=name,
                role="operator" if operator else "user",
                policy_version=settings.policy_version,
            ),
        ),
    )
    click.echo(f"{account.role} account {account.name} ({account.email}) made")
    _show_password(password, made_up=made_up)


@accounts.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_DATA_DIR
def list_(*, as_json: bool, data_dir: Path | None) -> None:
    """List every account."""
    from reference_server.registry import accounts as registry

    found = _with_database(_settings(data_dir=data_dir), registry.list_accounts)
    if as_json:
        click.echo(json.dumps([account.model_dump(mode="json") for account in found], indent=2))
        return
    for account in found:
        click.echo(f"{account.name:<24} {account.role:<9} {account.email:<36} {account.created_at:%Y-%m-%d}")


@accounts.command("reset-password")
@click.argument("account")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_DATA_DIR
def reset_password(account: str, *, password_stdin: bool, data_dir: Path | None) -> None:
    """Give an account (name or e-mail) a new password and end its sessions; its keys stay."""
    password, made_up = _password(from_stdin=password_stdin)
    from reference_server.registry import accounts as registry

    found = _change(
        account,
        data_dir,
        "password_changed",
        lambda database, one: registry.set_password(database, one.id, _hash(password), keep_session=None),
    )
    click.echo(f"the password of {found.name} ({found.email}) is changed and its sessions are ended")
    _show_password(password, made_up=made_up)


@accounts.command("set-role")
@click.argument("account")
@click.argument("role", type=click.Choice(["user", "operator"]))
@_DATA_DIR
def set_role(account: str, role: Any, *, data_dir: Path | None) -> None:  # noqa: ANN401 - one of the choices
    """Change the role of an account (name or e-mail)."""
    from reference_server.registry import accounts as registry

    found = _change(
        account, data_dir, "role_changed", lambda database, one: registry.set_role(database, one.id, role)
    )
    click.echo(f"{found.name} ({found.email}) is now {role}")


@accounts.command("set-limits")
@click.argument("account")
@click.option("--requests-per-minute", type=click.IntRange(0, 2**53), help="0 for no limit.")
@click.option("--rows-per-day", type=click.IntRange(0, 2**53), help="0 for no limit.")
@_DATA_DIR
def set_limits(
    account: str, *, requests_per_minute: int | None, rows_per_day: int | None, data_dir: Path | None
) -> None:
    """Limit an account (name or e-mail); what is left out is the server's default again."""
    from reference_server.registry import accounts as registry

    found = _change(
        account,
        data_dir,
        "limits_changed",
        lambda database, one: registry.set_limits(
            database, one.id, requests_per_minute=requests_per_minute, rows_per_day=rows_per_day
        ),
    )
    told = ", ".join(
        f"{'the default' if value is None else value or 'any number of'} {what}"
        for value, what in ((requests_per_minute, "requests a minute"), (rows_per_day, "rows a day"))
    )
    click.echo(f"{found.name} ({found.email}) may have {told}")


@accounts.command()
@click.argument("account")
@_DATA_DIR
def disable(account: str, *, data_dir: Path | None) -> None:
    """Disable an account (name or e-mail): its sessions end, its keys stop."""
    _set_disabled(account, data_dir, disabled=True)


@accounts.command()
@click.argument("account")
@_DATA_DIR
def enable(account: str, *, data_dir: Path | None) -> None:
    """Enable an account (name or e-mail) again."""
    _set_disabled(account, data_dir, disabled=False)


def _set_disabled(account: str, data_dir: Path | None, *, disabled: bool) -> None:
    from reference_server.registry import accounts as registry

    found = _change(
        account,
        data_dir,
        "account_disabled" if disabled else "account_enabled",
        lambda database, one: registry.set_disabled(database, one.id, disabled=disabled),
    )
    click.echo(f"{found.name} ({found.email}) is {'disabled' if disabled else 'enabled'}")


def _change(
    account: str, data_dir: Path | None, audited_as: AuditAct, act: Callable[[Database, Account], object]
) -> Account:
    from reference_server.registry import accounts as registry
    from reference_server.registry.audit import by_operator

    def find_and_act(database: Database) -> Account:
        found = registry.find(database, account)

        def change() -> Account:
            act(database, found)
            return found

        return by_operator(database, audited_as, change)

    return _with_database(_settings(data_dir=data_dir), find_and_act)


def _password(*, from_stdin: bool) -> tuple[str, bool]:
    if not from_stdin:
        return secrets.token_urlsafe(18), True
    password = sys.stdin.readline().rstrip("\r\n")
    _checked("password", Password, password)
    return password, False


def _hash(password: str) -> str:
    from reference_server.security.passwords import Passwords

    return Passwords().hash(password)


def _show_password(password: str, *, made_up: bool) -> None:
    if made_up:
        click.echo(f"password, shown this once: {password}")


for command in (models, init, keys, invitations, audit, tls, backup, restore):
    main.add_command(command)
