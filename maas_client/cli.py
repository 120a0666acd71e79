"""The `maas` command: the SDK at a prompt and in shell scripts.

Exit codes: 0 done · 1 any other failure · 2 wrong usage or configuration · 3 not logged in or not allowed ·
4 not found · 5 the server cannot be reached or is not ready.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from maas_client import errors
from maas_client._client import Client
from maas_client.types import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from maas_client._progress import Progress
    from maas_client.types import Scope

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_EXIT_CODES: tuple[tuple[type[errors.MaasError], int], ...] = (
    (errors.ConfigurationError, 2),
    (errors.ArgumentError, 2),
    (errors.PackageError, 2),
    (errors.AuthenticationError, 3),
    (errors.PermissionDeniedError, 3),
    (errors.NotFoundError, 4),
    (errors.ConnectionFailedError, 5),
    (errors.DeadlineError, 5),
    (errors.ServerError, 5),
    (errors.RateLimitError, 5),
)


@dataclass(frozen=True, slots=True)
class _Options:
    """What the group's options say about the client to make."""

    base_url: str | None
    profile: str | None
    timeout: float | None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Give a client, and turn its errors into one line and an exit code."""
        given = {"base_url": self.base_url, "profile": self.profile, "timeout": self.timeout}
        try:
            with Client(**{name: value for name, value in given.items() if value is not None}) as client:  # type: ignore[arg-type] # names and values belong together
                yield client
        except errors.MaasError as error:
            click.echo(f"Error: {_plain(str(error))}", err=True)
            code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)
            raise click.exceptions.Exit(code) from error


_with_options = click.make_pass_decorator(_Options)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=(__doc__ or "").partition("\n\n")[2]
)
@click.option("--base-url", help="The server, such as https://models.example.com.  [env: MAAS_BASE_URL]")
@click.option("--profile", help="The saved log-in to use.  [env: MAAS_PROFILE]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that a call may take.")
@click.version_option(package_name="maas-client")
@click.pass_context
def main(context: click.Context, base_url: str | None, profile: str | None, timeout: float | None) -> None:
    """Use trained models through a simple, authenticated call."""
    context.obj = _Options(base_url, profile, timeout)


@main.command()
@click.option("--email", prompt="E-mail")
@click.option("--name", help="Public handle; made up when left out.")
@click.option("--accept-policy", is_flag=True, help="Accept the usage policy without being asked.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_JSON
@_with_options
def register(
    options: _Options,
    *,
    email: str,
    name: str | None,
    accept_policy: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Register an account."""
    with options.client() as client:
        policy = client.service.info().usage_policy
        if not accept_policy:
            click.echo(f"Usage policy, version {policy.version}:\n\n{policy.text}", err=True)
            click.confirm("Do you accept it?", abort=True, err=True)
        password = _password(from_stdin=password_stdin, confirm=True)
        account = client.register(email=email, password=password, name=name, accept_policy=policy.version)
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


@main.command()
@click.option("--task", help="Only models of this task, such as text-classification.")
@click.option("-q", "--query", help="Words that name, description or tags must contain.")
@_JSON
@_with_options
def models(options: _Options, *, task: str | None, query: str | None, as_json: bool) -> None:
    """List the models that you can use."""
    with options.client() as client:
        found = list(client.models.list(task=task, q=query))
    rows = (
        [model.id, model.task, _number(model.default_version), model.owned_by, model.description]
        for model in found
    )
    _table(found, ("MODEL", "TASK", "DEFAULT", "OWNER", "DESCRIPTION"), rows, as_json=as_json)


@main.command()
@click.argument("name")
@_JSON
@_with_options
def model(options: _Options, name: str, *, as_json: bool) -> None:
    """Describe a model: what it is for, what it takes, how good it was measured to be."""
    with options.client() as client:
        found = client.models.get(name)
    if as_json:
        _json(found)
        return
    lines = [
        ("task", found.task or "—"),
        ("owner", found.owned_by),
        ("visibility", found.visibility),
        ("licence", found.license or "—"),
        ("default version", _number(found.default_version)),
        ("description", found.description),
        ("intended use", found.intended_use),
        ("limitations", found.limitations),
        ("labels", ", ".join(found.labels)),
        *((f"input {spec.name}", spec.type) for spec in (found.signature.inputs if found.signature else ())),
        *(
            (metric.name, f"{metric.value:.4g} on {metric.rows:,} rows of {metric.dataset}")
            for metric in found.metrics
        ),
        ("example", json.dumps(found.example, ensure_ascii=False) if found.example else ""),
    ]
    _pairs(found.id, [(name, value) for name, value in lines if value])


@main.command()
@click.argument("name")
@_JSON
@_with_options
def versions(options: _Options, name: str, *, as_json: bool) -> None:
    """List a model's versions, newest first."""
    with options.client() as client:
        found = list(client.model(name).versions.list())
    rows = (
        [
            str(version.version),
            ", ".join(version.aliases),
            _day(version.created_at),
            version.author,
            version.notes,
        ]
        for version in found
    )
    _table(found, ("VERSION", "ALIASES", "MADE", "AUTHOR", "NOTES"), rows, as_json=as_json)


@main.command()
@click.argument("name")
@click.argument("text", required=False)
@click.option(
    "-f", "--file", type=click.File("r", encoding="utf-8"), help="Read instances, one JSON object a line."
)
@click.option("--version", "version", help="A version's number, an alias or `latest`.")
@_JSON
@_with_options
def predict(
    options: _Options,
    name: str,
    text: str | None,
    *,
    file: Any,  # noqa: ANN401 - an open text file
    version: str | None,
    as_json: bool,
) -> None:
    """Run a model on TEXT, on standard input for `-`, or on every line of a file."""
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT, `-` to read it from standard input, or --file; one of them")
    with options.client() as client:
        if file is not None:
            predictions = list(client.predict_batch(name, _instances(file), version=version))
        else:
            predictions = [
                client.predict(name, text=_standard_input() if text == "-" else text, version=version)
            ]
    if as_json:
        for prediction in predictions:
            click.echo(prediction.model_dump_json())
        return
    for prediction in predictions:
        click.echo(_line(prediction))


@main.command()
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="The model's name.")
@click.option("--notes", default="", help="What is new in this version.")
@click.option(
    "--visibility", type=click.Choice(["private", "public"]), help="For a new model; private if left out."
)
@click.option("--set-default", is_flag=True, help="Let `default` point to the new version.")
@_JSON
@_with_options
def publish(
    options: _Options,
    package: Path,
    *,
    name: str,
    notes: str,
    visibility: Any,  # noqa: ANN401 - one of the choices
    set_default: bool,
    as_json: bool,
) -> None:
    """Publish a model package, a folder or its zip, as the next version; again after an interruption."""
    with options.client() as client, _transfer(f"Publishing {name}") as progress:
        version = client.models.publish(
            package,
            name=name,
            notes=notes,
            visibility=visibility,
            set_default=set_default,
            progress=progress,
        )
    _show(version, as_json=as_json, text=f"{version.model} version {version.version} ({version.digest})")


@main.command()
@click.argument("name")
@click.argument("version", default="default")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="A file's name, or a folder; this folder if left out.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file of that name.")
@_JSON
@_with_options
def download(
    options: _Options, name: str, version: str, *, output: Path, overwrite: bool, as_json: bool
) -> None:
    """Download a package of one of your models as a zip; again after an interruption.

    VERSION is a number or an alias; `default` if left out.
    """
    with options.client() as client, _transfer(f"Downloading {name}") as progress:
        path = client.model(name).versions.download(version, output, overwrite=overwrite, progress=progress)
    click.echo(json.dumps({"path": str(path)}) if as_json else str(path))


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
    rows = (
        [
            key.id,
            key.name,
            f"{key.prefix}…{key.last4}",
            " ".join(key.scopes),
            _day(key.expires_at),
            _day(key.last_used_at),
        ]
        for key in found
    )
    _table(found, ("ID", "NAME", "KEY", "SCOPES", "EXPIRES", "LAST USED"), rows, as_json=as_json)


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="May be repeated; models:read and predict if left out.",
)
@_JSON
@_with_options
def create_key(options: _Options, name: str, *, scopes: tuple[Scope, ...], as_json: bool) -> None:
    """Make a key; its secret is printed this once."""
    with options.client() as client:
        key = client.keys.create(name=name, scopes=list(scopes)) if scopes else client.keys.create(name=name)
    _show_secret(key, as_json=as_json)


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=click.IntRange(0), default=0, help="Seconds for which the old secret still holds."
)
@_JSON
@_with_options
def rotate_key(options: _Options, key_id: str, *, overlap: int, as_json: bool) -> None:
    """Give a key a new secret, printed this once."""
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


@main.group()
def aliases() -> None:
    """Show and move a model's aliases, `default` among them."""


@aliases.command("list")
@click.argument("name")
@_JSON
@_with_options
def list_aliases(options: _Options, name: str, *, as_json: bool) -> None:
    """List where a model's aliases point."""
    with options.client() as client:
        found = list(client.model(name).aliases.list())
    rows = (
        [alias.name, str(alias.version), _day(alias.moved_at), alias.moved_by or "", alias.note]
        for alias in found
    )
    _table(found, ("ALIAS", "VERSION", "MOVED", "BY", "WHY"), rows, as_json=as_json)


@aliases.command("move")
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=click.IntRange(1))
@click.option("--note", default="", help="Why.")
@_JSON
@_with_options
def move_alias(options: _Options, name: str, alias: str, version: int, *, note: str, as_json: bool) -> None:
    """Point an alias to a version."""
    with options.client() as client:
        moved = client.model(name).aliases.move(alias, version=version, note=note)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is now version {moved.version}")


@aliases.command("rollback")
@click.argument("name")
@click.argument("alias", default="default")
@click.option("--note", default="", help="Why.")
@_JSON
@_with_options
def roll_back_alias(options: _Options, name: str, alias: str, *, note: str, as_json: bool) -> None:
    """Point an alias (`default` if left out) to where it pointed before."""
    with options.client() as client:
        moved = client.model(name).aliases.rollback(alias, note=note)
    _show(moved, as_json=as_json, text=f"{name}: {moved.name} is again version {moved.version}")


@contextmanager
def _transfer(label: str) -> Iterator[Progress]:
    """Give what shows a bar on standard error while bytes go, if a person looks at it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield False
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with RichProgress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(_plain(label), total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield show


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 at byte {error.start}; convert it first, for example with iconv"
        ) from error


def _password(*, from_stdin: bool, confirm: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password


def _instances(lines: Iterable[str]) -> list[dict[str, Any]]:
    instances = []
    for number, line in enumerate(lines, start=1):
        try:
            instance = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"line {number} is not JSON: {error}") from error
        if not isinstance(instance, dict):
            raise click.UsageError(f'line {number} is not a JSON object such as {{"text": "…"}}')
        instances.append(instance)
    return instances


def _line(prediction: Any) -> str:  # noqa: ANN401 - one of the prediction types
    label, score = getattr(prediction, "label", None), getattr(prediction, "score", None)
    if label is None or score is None:
        return str(prediction.model_dump_json())
    return f"{label}\t{score:.4f}"


def _show(value: BaseModel, *, as_json: bool, text: str) -> None:
    if as_json:
        _json(value)
    else:
        click.echo(text)


def _show_secret(key: Any, *, as_json: bool) -> None:  # noqa: ANN401 - a KeyCreated
    if as_json:
        click.echo(key.model_dump_json(context={"reveal": True}))
        return
    click.echo(f"{key.name} ({key.id}); its secret, shown this once:", err=True)
    click.echo(key.secret.get_secret_value())


def _json(value: BaseModel | Sequence[BaseModel]) -> None:
    if isinstance(value, BaseModel):
        click.echo(value.model_dump_json(indent=2))
    else:
        click.echo(json.dumps([item.model_dump(mode="json") for item in value], indent=2))


def _table(
    values: Sequence[BaseModel],
    columns: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        _json(values)
        return
    cells = [[_plain(cell or "—") for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        # Another program reads it: one line each, whole, in columns that `cut` can tell apart.
        for row in (columns, *cells):
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _pairs(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    table = Table(
        box=None, pad_edge=False, show_header=False, title=Text(_plain(title)), title_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(_plain(name)), Text(_plain(value)))
    Console().print(table)


def _plain(text: str) -> str:
    # Names and notes are other people's words: no control character of theirs reaches the terminal.
    return "".join(character if character.isprintable() else " " for character in text)


def _number(value: int | None) -> str:
    return "—" if value is None else str(value)


def _day(moment: datetime | None) -> str:
    return "—" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
